#include <fmt/format.h>

#include <array>

#include "core/units.h"
#include "report/head_totals.h"
#include "report/markup.h"
#include "report/page_sections.h"

namespace plasticity {
namespace {

std::string pruned_text(const Recipe& recipe) {
    const HeadTotals heads = count_heads(recipe.topology);
    if (!recipe.prunes()) return "nothing";
    std::string text =
        fmt::format("{} of {} query heads, {} of {} KV groups, in {} of {} layers", heads.of - heads.kept, heads.of,
                    heads.kv_of - heads.kv_kept, heads.kv_of, heads.layers_touched, recipe.topology.layers.size());
    if (recipe.prunes_feed_forward()) text += "; feed-forward channels";
    return text + fmt::format("; {:.1f} % of the parameters", 100 * recipe.topology.parameter_reduction);
}

std::uint64_t bytes_of(const std::vector<FileDigest>& files) {
    std::uint64_t bytes = 0;
    for (const FileDigest& file : files) bytes += file.bytes;
    return bytes;
}

std::string size_text(const RunRecord& record) {
    std::string text = fmt::format("{} ({} bytes)", format_bytes(record.file_bytes), record.file_bytes);
    if (record.reproduction && record.file_bytes > 0) {
        const std::uint64_t source = bytes_of(record.reproduction->model_files);
        text += fmt::format(", {:.2f} × smaller than its source of {}",
                            static_cast<double>(source) / static_cast<double>(record.file_bytes), format_bytes(source));
    }
    return text;
}

std::string budget_text(const Recipe& recipe) {
    if (!recipe.device) return fmt::format("a file of {} at most", format_bytes(recipe.budget.limit_bytes));
    return fmt::format("{}: {} of its {}", recipe.device->label, format_bytes(recipe.device->effective_bytes()),
                       format_bytes(recipe.device->memory_bytes));
}

std::string speed_text(const TextSamples& samples) {
    std::string text =
        fmt::format("{:.1f} tokens/s generated on {}", samples.generated_tokens_per_second, samples.backend);
    if (samples.base_generated_tokens_per_second)
        text += fmt::format("; the base {:.1f}", *samples.base_generated_tokens_per_second);
    return text;
}

/// A row of a table of bytes, with its share as a bar.
std::string bytes_row(std::string_view part, std::uint64_t bytes, std::uint64_t total) {
    const double percent = total > 0 ? 100 * static_cast<double>(bytes) / static_cast<double>(total) : 0;
    return fmt::format(
        "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{:.1f} %</td>"
        "<td class=\"bar\" aria-hidden=\"true\"><span style=\"width:{:.2f}%\"></span></td></tr>\n",
        part, format_bytes(bytes), percent, percent);
}

}  // namespace

std::string summary_section(const RunRecord& record) {
    const Recipe& recipe = record.recipe;
    std::vector<PageFact> facts{
        {"Size", size_text(record)},
        {"Made for", budget_text(recipe)},
        {"Memory at run time",
         fmt::format("{} with {} tokens of context", format_bytes(recipe.budget.total_bytes), recipe.context_length)},
        {"Pruned", pruned_text(recipe)},
        {"Policy", recipe.policy},
        {"Architecture of the file", recipe.output_architecture},
        {"Stock llama.cpp", recipe.stock ? "runs it" : "does not run it: " + recipe.stock_reason}};
    if (const QualityPanel* quality = record.quality()) {
        facts.push_back({"KL divergence from the base", quality->mean_kl_text() + " nats per token"});
        facts.push_back(
            {"Perplexity", fmt::format("{:.4f}; the base {:.4f}", quality->perplexity, quality->base_perplexity)});
    }
    if (record.samples) facts.push_back({"Speed", speed_text(*record.samples)});
    if (record.scores)
        facts.push_back(
            {"Scored on", fmt::format("{} tokens ({} examples), mean loss {:.3f} nats", record.scores->num_tokens,
                                      record.scores->num_steps, record.scores->mean_loss)});
    return page_section("summary", "Summary", fact_list(facts));
}

std::string bytes_section(const RunRecord& record) {
    const Budget& budget = record.recipe.budget;
    const std::array parts{std::pair{"embedding and output", budget.embedding_bytes},
                           std::pair{"attention", budget.attention_bytes},
                           std::pair{"feed-forward", budget.mlp_bytes},
                           std::pair{"norms", budget.norm_bytes},
                           std::pair{"KV cache", budget.kv_cache_max_bytes},
                           std::pair{"compute buffers", budget.compute_bytes}};
    std::string table =
        "<table class=\"bytes\">\n<caption>What the device holds at run time</caption>\n<thead><tr><th "
        "scope=\"col\">part</th>"
        "<th scope=\"col\" class=\"n\">bytes</th><th scope=\"col\" "
        "class=\"n\">share</th><td></td></tr></thead>\n<tbody>\n";
    for (const auto& [part, bytes] : parts) table += bytes_row(part, bytes, budget.total_bytes);
    table += fmt::format(
        "<tr class=\"total\"><th scope=\"row\">together</th><td class=\"n\">{}</td><td class=\"n\"></td><td></td></tr>"
        "</tbody>\n</table>\n",
        format_bytes(budget.total_bytes));
    table += fmt::format("<p>The file itself has {}, within {}; the KV cache is that of {} tokens in {}.</p>\n",
                         format_bytes(budget.file_bytes), format_bytes(budget.limit_bytes),
                         record.recipe.context_length, markup_escaped(record.recipe.kv_type));
    return page_section("bytes", "Bytes by part", scrolling("Bytes by part", table));
}

std::string checks_section(const RunRecord& record) {
    if (!record.report) return "";
    std::string table =
        "<table>\n<thead><tr><th scope=\"col\">check</th><th scope=\"col\">outcome</th><th "
        "scope=\"col\">found</th></tr>"
        "</thead>\n<tbody>\n";
    for (const Check& check : record.report->checks)
        table += fmt::format("<tr><th scope=\"row\">{}</th><td class=\"{}\">{}</td><td class=\"text\">{}</td></tr>\n",
                             markup_escaped(check.name), check.passed ? "good" : "bad",
                             check.passed ? "✓ passed" : "✗ failed", markup_escaped(check.detail));
    return page_section("checks", "Checks", scrolling("Checks", table + "</tbody>\n</table>\n"));
}

}  // namespace plasticity
