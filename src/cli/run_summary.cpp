#include "cli/run_summary.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/units.h"
#include "report/head_totals.h"
#include "report/report_text.h"

namespace plasticity {
namespace {

std::string failures(const Report& report) {
    std::string text;
    for (const Check& check : report.checks)
        if (!check.passed) text += fmt::format("  FAILED      {}: {}\n", check.name, check.detail);
    return text;
}

}  // namespace

std::string summary_text(const RunSummary& summary) {
    const HeadTotals heads = count_heads(summary.recipe.topology);
    const double source_bytes = static_cast<double>(
        std::filesystem::is_directory(summary.model) ? 0 : std::filesystem::file_size(summary.model));
    std::string text = "\n";
    text += fmt::format("  file        {}\n", summary.output.string());
    text += fmt::format("  size        {} ({} bytes{}), architecture {}, stock llama.cpp: {}\n",
                        format_bytes(summary.report.file_bytes), summary.report.file_bytes,
                        source_bytes > 0 ? fmt::format(", {:.2f} × smaller than its source",
                                                       source_bytes / static_cast<double>(summary.report.file_bytes))
                                         : "",
                        summary.report.architecture, summary.recipe.stock ? "yes" : summary.recipe.stock_reason);
    text += fmt::format("  pruned      {} of {} query heads, {} of {} KV groups, in {} of {} layers\n",
                        heads.of - heads.kept, heads.of, heads.kv_of - heads.kv_kept, heads.kv_of, heads.layers_touched,
                        summary.recipe.topology.layers.size());
    text += fmt::format("  memory      {} at run time with {} tokens of context\n",
                        format_bytes(summary.recipe.budget.total_bytes), summary.recipe.context_length);
    if (summary.report.quality) text += fmt::format("  quality     {}\n", quality_text(*summary.report.quality));
    text += fmt::format("  speed       {:.1f} tokens/s generated\n", summary.sample.generated_tokens_per_second());
    text += failures(summary.report);
    text += fmt::format("  verified    {}, report in {}\n", summary.report.passed() ? "yes" : "NO",
                        summary.page_path.string());
    if (summary.is_reproduction)
        text += fmt::format("  reproduced  {}\n",
                            summary.difference.empty() ? "yes, to the byte" : "NO: " + summary.difference);
    text += fmt::format("  sample      {}{}", summary.prompt, summary.sample.text);
    return text;
}

nlohmann::ordered_json summary_json(const RunSummary& summary) {
    const HeadTotals heads = count_heads(summary.recipe.topology);
    nlohmann::ordered_json json{
        {"ggufPath", summary.output.string()},
        {"outputSizeBytes", summary.report.file_bytes},
        {"outputSha256", summary.output_sha256},
        {"architecture", summary.report.architecture},
        {"stock", summary.recipe.stock},
        {"prunedQueryHeads", heads.of - heads.kept},
        {"prunedKvGroups", heads.kv_of - heads.kv_kept},
        {"runTimeBytes", summary.recipe.budget.total_bytes},
        {"verified", summary.report.passed()},
        {"generatedTokensPerSecond", summary.sample.generated_tokens_per_second()},
        {"testOutput", summary.sample.text},
        {"reportPath", summary.report_path.string()},
        {"pagePath", summary.page_path.string()},
    };
    if (summary.is_reproduction) {
        json["reproduced"] = summary.difference.empty();
        if (!summary.difference.empty()) json["difference"] = summary.difference;
    }
    if (summary.report.quality) {
        json["meanKl"] = summary.report.quality->mean_kl;
        json["perplexity"] = summary.report.quality->perplexity;
        json["basePerplexity"] = summary.report.quality->base_perplexity;
        json["top1Agreement"] = summary.report.quality->top1_agreement;
    }
    return json;
}

}  // namespace plasticity
