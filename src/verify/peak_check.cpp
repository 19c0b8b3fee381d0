#include "verify/peak_check.h"

#include <fmt/format.h>

#include <vector>

#include "artifact/output_layout.h"
#include "core/memory.h"
#include "core/units.h"
#include "engine/decoder_memory.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

constexpr std::uint64_t kSlackBytes = std::uint64_t{64} << 20;

std::uint64_t predicted_bytes(const Model& model, std::int32_t context_length) {
    std::uint64_t weights = 0;
    for (const ModelTensor& tensor : model.tensors()) weights += tensor.bytes();
    const Architecture& architecture = model.architecture();
    return weights + kv_cache_bytes(architecture, context_length, GGML_TYPE_F16) +
           decoder_memory(architecture, context_length).total();
}

void fill_context(Decoder& decoder) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(decoder.context_length()));
    for (std::size_t i = 0; i < tokens.size(); ++i)  // which ones does not matter
        tokens[i] = static_cast<std::int32_t>(i % static_cast<std::size_t>(decoder.architecture().n_vocab));
    decoder.feed(tokens, tokens.size() - 1, [](std::int32_t, std::span<const float>) {});
    decoder.clear();
}

}  // namespace

Check judge_peak(const std::optional<RunTimePeak>& peak, double max_ratio) {
    constexpr std::string_view kName = "run-time peak";
    if (!peak) return make_check(kName, {}, "not measured: this system does not tell, or a device holds a part");
    const std::string found = fmt::format("{} at {} tokens; predicted {}", format_bytes(peak->measured_bytes),
                                          peak->context_length, format_bytes(peak->predicted_bytes));
    const double limit = max_ratio * static_cast<double>(peak->predicted_bytes) + static_cast<double>(kSlackBytes);
    std::vector<std::string> problems;
    if (static_cast<double>(peak->measured_bytes) > limit)
        problems.push_back(
            fmt::format("{}; expected at most {:.2f} times that and {}", found, max_ratio, format_bytes(kSlackBytes)));
    return make_check(kName, problems, found);
}

std::unique_ptr<Decoder> load_measured(const Model& model, const DecoderOptions& options, double max_ratio,
                                       Report& report, Progress& progress) {
    const bool is_reset = reset_peak_resident();
    const std::uint64_t before = resident_bytes().value_or(0);
    auto decoder = std::make_unique<Decoder>(model, options, progress);
    fill_context(*decoder);
    const std::uint64_t most = peak_resident_bytes().value_or(0);
    if (is_reset && before > 0 && most >= before && decoder->backend_label() == "CPU")
        report.peak =
            RunTimePeak{options.context_length, predicted_bytes(model, options.context_length), most - before};
    report.checks.push_back(judge_peak(report.peak, max_ratio));
    return decoder;
}

}  // namespace plasticity
