#include "artifact/importance.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"

namespace plasticity {

std::vector<float> channel_importance(const Statistics& statistics, const ModelTensor& matrix) {
    const ChannelStatistics* channels = statistics.find(matrix.name);
    if (channels == nullptr || channels->count <= 0) return {};
    if (std::cmp_not_equal(channels->sum_of_squares.size(), matrix.cols))
        throw Error(ErrorKind::kMalformed,
                    fmt::format("statistics of {} have {} channels; expected {}. Are they another model's?",
                                matrix.name, channels->sum_of_squares.size(), matrix.cols));
    std::vector<float> importance;
    for (const double sum : channels->sum_of_squares)
        importance.push_back(static_cast<float>(sum / static_cast<double>(channels->count)));
    return importance;
}

}  // namespace plasticity
