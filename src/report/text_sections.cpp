#include <fmt/format.h>
#include <ggml.h>

#include "core/units.h"
#include "report/markup.h"
#include "report/page_sections.h"

namespace plasticity {
namespace {

std::string sample_text(std::string_view heading, const std::string& prompt, const std::string& text) {
    return fmt::format("<div><h4>{}</h4>\n<pre tabindex=\"0\"><span class=\"prompt\">{}</span>{}</pre></div>\n",
                       heading, markup_escaped(prompt), markup_escaped(text));
}

std::string reason_row(std::string_view of, std::string_view choice, std::string_view reason) {
    return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"text\">{}</td></tr>\n", markup_escaped(of),
                       markup_escaped(choice), markup_escaped(reason));
}

std::string decisions(const Recipe& recipe) {
    std::string rows = reason_row("architecture of the file", recipe.output_architecture, recipe.stock_reason);
    if (!recipe.pruning.empty())
        rows += reason_row("heads to prune", recipe.prunes() ? "pruned" : "none", recipe.pruning);
    if (!recipe.alignment.empty())
        rows += reason_row("padding", recipe.padding == Padding{} ? "none" : "padded", recipe.alignment);
    if (recipe.equalization > 0) rows += reason_row("channels", "scaled", recipe.channels_text());
    if (recipe.refinement)
        for (const RefinedChange& change : recipe.refinement->changes)
            rows += reason_row(
                "refinement", recipe.refinement->kept ? "kept" : "not kept",
                fmt::format("{}: KL {:+.4g} ± {:.2g}", change.change, change.difference, change.standard_error));
    return rows;
}

std::string digest_rows(std::string_view group, const std::vector<FileDigest>& files) {
    std::string rows;
    for (const FileDigest& file : files)
        rows += fmt::format(
            "<tr><td>{}</td><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"hash\">{}</td></tr>\n", group,
            markup_escaped(file.name), format_bytes(file.bytes), markup_escaped(file.sha256));
    return rows;
}

}  // namespace

std::string samples_section(const RunRecord& record) {
    if (!record.samples || record.samples->samples.empty()) return "";
    std::string body = "<p>What each goes on with, taking the likeliest token every time; the prompt is set off.</p>\n";
    for (const TextSample& sample : record.samples->samples) {
        body += "<div class=\"pair\">\n";
        if (sample.base) body += sample_text("Base", sample.prompt, *sample.base);
        body += sample_text("Compressed", sample.prompt, sample.compressed) + "</div>\n";
        if (sample.base)
            body += *sample.base == sample.compressed ? "<p class=\"note\">Both say the same.</p>\n"
                                                      : "<p class=\"note\">They differ.</p>\n";
    }
    return page_section("samples", "Samples", body);
}

std::string reasons_section(const RunRecord& record) {
    std::string table =
        "<table id=\"reason-table\">\n<thead><tr><th scope=\"col\">what</th><th scope=\"col\">choice</th>"
        "<th scope=\"col\">why</th></tr></thead>\n<tbody>\n" +
        decisions(record.recipe);
    for (const QuantAssignment& assignment : record.recipe.tensor_quant_map)
        table += reason_row(assignment.pattern, ggml_type_name(assignment.type), assignment.reason);
    table += "</tbody>\n</table>\n";
    const std::string filter =
        "<p id=\"filter\" hidden><label for=\"filter-text\">Show only rows with all of these words</label>\n"
        "<input id=\"filter-text\" type=\"search\" autocomplete=\"off\" spellcheck=\"false\"> "
        "<output id=\"filter-count\" for=\"filter-text\"></output></p>\n";
    return page_section("reasons", "Reasons", filter + scrolling("Reasons of every decision", table));
}

std::string origin_section(const RunRecord& record) {
    if (!record.reproduction) return "";
    const Reproduction& origin = *record.reproduction;
    std::string body = fmt::format(
        "<p>Made by</p>\n<pre tabindex=\"0\">{}</pre>\n<p><code>plasticity run --reproduce reproduce.json -o "
        "again</code> "
        "checks that the inputs are these, runs, and compares the output.</p>\n",
        markup_escaped(origin.command));
    body += fact_list(
        {{"plasticity", origin.program_version}, {"llama.cpp", origin.llama_cpp}, {"Processor", origin.processor}});
    std::string table =
        "<table class=\"digests\">\n<caption>SHA-256</caption>\n<thead><tr><th scope=\"col\">as</th><th "
        "scope=\"col\">file"
        "</th><th scope=\"col\" class=\"n\">bytes</th><th scope=\"col\">digest</th></tr></thead>\n<tbody>\n";
    table += digest_rows("base", origin.model_files) + digest_rows("calibration", origin.calibration) +
             digest_rows("held out", origin.held_out) + digest_rows("made on the way", origin.artifacts) +
             digest_rows("output", {origin.output});
    return page_section("origin", "Origin", body + scrolling("SHA-256 of all files", table + "</tbody>\n</table>\n"));
}

}  // namespace plasticity
