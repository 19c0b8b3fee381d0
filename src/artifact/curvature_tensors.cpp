#include "artifact/curvature_tensors.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "artifact/f64_row.h"

namespace plasticity {
namespace {

constexpr std::string_view kCount = ".grad2_count";

struct Part {
    std::string_view suffix;
    std::vector<double> CurvatureStatistics::* values;
};
constexpr std::array kParts{Part{".out_grad2", &CurvatureStatistics::rows},
                            Part{".in_grad2", &CurvatureStatistics::columns},
                            Part{".gate_grad2", &CurvatureStatistics::gates}};

std::vector<double> read_doubles(const GgufReader& file, const GgufTensor& tensor, ProblemList& problems) {
    if (tensor.type != GGML_TYPE_F64 || tensor.n_rows() != 1 || tensor.bytes > kMaxStatisticsBytes) {
        problems.add(fmt::format("{}: {} rows of {} {}; expected one row of f64", tensor.name, tensor.n_rows(),
                                 tensor.row_length(), ggml_type_name(tensor.type)));
        return {};
    }
    std::vector<double> values(static_cast<std::size_t>(tensor.row_length()));
    file.read(tensor, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

std::int64_t read_whole_number(const GgufReader& file, const GgufTensor& tensor, ProblemList& problems) {
    const std::vector<double> values = read_doubles(file, tensor, problems);
    if (values.empty()) return 0;
    constexpr double kMost = 9007199254740992.0;  // 2⁵³: whole numbers beyond it are not told apart
    if (values.size() == 1 && values[0] >= 0 && values[0] <= kMost && values[0] == std::floor(values[0]))
        return static_cast<std::int64_t>(values[0]);
    problems.add(
        fmt::format("{}: {} values, the first {}; expected one whole number", tensor.name, values.size(), values[0]));
    return 0;
}

}  // namespace

void check_curvature(const Statistics& statistics, ProblemList& problems) {
    for (const auto& [name, curvature] : statistics.curvature) {
        if (curvature.rows.empty() || curvature.columns.empty() || curvature.count < 0)
            problems.add(fmt::format("curvature of {}: {} rows, {} columns, a count of {}; expected some of each", name,
                                     curvature.rows.size(), curvature.columns.size(), curvature.count));
        for (const Part& part : kParts)
            for (const double sum : curvature.*part.values)
                if (!(sum >= 0 && std::isfinite(sum))) {
                    problems.add(fmt::format("{}{} holds {}; expected finite sums of squares", name, part.suffix, sum));
                    break;
                }
    }
}

void add_curvature_tensors(const Statistics& statistics, GgufLayout& layout) {
    for (const auto& [name, curvature] : statistics.curvature) {
        for (const Part& part : kParts)
            if (const auto& values = curvature.*part.values; !values.empty())
                layout.tensors.push_back(f64_row(name + std::string(part.suffix), values.size()));
        layout.tensors.push_back(f64_row(name + std::string(kCount), 1));
    }
}

void write_curvature(const Statistics& statistics, GgufWriter& file) {
    for (const auto& [name, curvature] : statistics.curvature) {
        for (const Part& part : kParts)
            if (const auto& values = curvature.*part.values; !values.empty())
                file.write(name + std::string(part.suffix), std::as_bytes(std::span(values)));
        const auto count = static_cast<double>(curvature.count);
        file.write(name + std::string(kCount), std::as_bytes(std::span(&count, 1)));
    }
}

bool read_curvature_tensor(const GgufReader& file, const GgufTensor& tensor, Statistics& statistics,
                           ProblemList& problems) {
    const auto entry_of = [&](std::string_view suffix) -> CurvatureStatistics& {
        return statistics.curvature[tensor.name.substr(0, tensor.name.size() - suffix.size())];
    };
    for (const Part& part : kParts) {
        if (!tensor.name.ends_with(part.suffix)) continue;
        entry_of(part.suffix).*part.values = read_doubles(file, tensor, problems);
        return true;
    }
    if (!tensor.name.ends_with(kCount)) return false;
    entry_of(kCount).count = read_whole_number(file, tensor, problems);
    return true;
}

}  // namespace plasticity
