#include "report/comparison_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/units.h"
#include "report/markup.h"

namespace plasticity {
namespace {

using Cells = std::vector<std::string>;

constexpr std::string_view kNone = "–";
constexpr std::string_view kReading =
    "KL is the divergence from the base in nats per token, 0 is best; ± is one standard error by the text's chunks. "
    "Speeds are medians of the rounds, in brackets (highest − lowest) ÷ median. Peak is the most memory that "
    "the process running the file had resident.";

std::string with_error(std::string_view value, const std::optional<double>& error) {
    return error ? fmt::format("{} ± {:.2g}", value, *error) : std::string(value);
}

template <typename Member>
std::optional<double> error_of(const QualityPanel& quality, Member member) {
    return quality.errors ? std::optional((*quality.errors).*member) : std::nullopt;
}

std::string series_cell(const MeasuredSeries& series, std::string_view unit) {
    if (series.runs.empty()) return std::string(kNone);
    return fmt::format("{:.4g}{} [{:.1f} %]", series.median(), unit, 100 * series.spread());
}

void append_quality(const std::optional<QualityPanel>& quality, Cells& row) {
    if (!quality) {
        row.insert(row.end(), 7, std::string(kNone));
        return;
    }
    const QualityPanel& q = *quality;
    row.push_back(q.mean_kl_text());
    row.push_back(with_error(fmt::format("{:.3g}", q.median_kl), error_of(q, &QualityErrors::median_kl)));
    row.push_back(with_error(fmt::format("{:.3g}", q.p999_kl), error_of(q, &QualityErrors::p999_kl)));
    row.push_back(fmt::format("{:.3g}", q.max_kl));
    const auto top1 = error_of(q, &QualityErrors::top1_agreement);
    row.push_back(with_error(fmt::format("{:.2f}", 100 * q.top1_agreement), top1 ? std::optional(100 * *top1) : top1) +
                  " %");
    row.push_back(with_error(fmt::format("{:.4f}", q.perplexity), error_of(q, &QualityErrors::perplexity)));
    row.push_back(
        with_error(fmt::format("{:.4f}", q.perplexity_ratio()), error_of(q, &QualityErrors::perplexity_ratio)));
}

void append_running(const std::optional<MeasuredRunning>& running, Cells& row) {
    if (!running) {
        row.insert(row.end(), 4, std::string(kNone));
        return;
    }
    row.push_back(series_cell(running->prompt, ""));
    row.push_back(series_cell(running->generation, ""));
    row.push_back(running->peak_resident_bytes > 0 ? format_bytes(running->peak_resident_bytes) : std::string(kNone));
    row.push_back(series_cell(running->load, " s"));
}

/// The first row holds the headings.
std::vector<Cells> table(const Comparison& comparison) {
    std::vector<Cells> rows{{"file", "bytes", "bits/weight", "mean KL", "median", "99.9 %", "largest", "top-1",
                             "perplexity", "ratio", "prompt t/s", "generated t/s", "peak", "load"}};
    for (const ComparedFile& file : comparison.files) {
        const std::string name = std::filesystem::path(file.path).filename().string();
        const bool is_base = &file == &comparison.files.front();
        Cells row{is_base ? name + " (base)" : name, fmt::format("{}", file.file_bytes),
                  fmt::format("{:.3f}", file.bits_per_weight)};
        append_quality(file.quality, row);
        append_running(file.running, row);
        rows.push_back(std::move(row));
    }
    return rows;
}

std::string circumstances(const Comparison& comparison) {
    const ComparisonSettings& s = comparison.settings;
    return fmt::format("{} chunks of {} tokens of {}; prompts of {} tokens, {} generated, {} rounds, {} threads",
                       s.chunks, s.context, fmt::join(s.data, ", "), s.prompt_tokens, s.generated_tokens, s.rounds,
                       s.threads);
}

/// Characters, not bytes: so that columns stand in line.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

constexpr std::string_view kPageStyle =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1c2733;--grid:#dfe5ea;--best:#e3f1e4}"
    "@media(prefers-color-scheme:dark){:root{--paper:#12181f;--ink:#e4eaf0;--grid:#2c3744;--best:#1d3a24}}"
    "body{font:15px/1.5 system-ui,sans-serif;background:var(--paper);color:var(--ink);margin:2rem}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "th,td{padding:.35rem .7rem;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}"
    "th:first-child{text-align:left}thead th{position:sticky;top:0;background:var(--paper)}"
    "@media print{body{margin:0;font-size:9px}th,td{padding:.1rem .3rem}}";

}  // namespace

std::string comparison_text(const Comparison& comparison) {
    const std::vector<Cells> rows = table(comparison);
    std::vector<std::size_t> widths(rows.front().size());
    for (const Cells& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
    std::string text;
    for (const Cells& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string space(widths[i] - width_of(row[i]), ' ');
            text += i == 0 ? row[i] + space : "  " + space + row[i];
        }
        text += '\n';
    }
    return text + circumstances(comparison);
}

std::string comparison_markdown(const Comparison& comparison) {
    std::string text = fmt::format("# Files beside {}\n\n", markdown_escaped(comparison.files.front().path));
    const std::vector<Cells> rows = table(comparison);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        for (const std::string& cell : rows[r]) text += "| " + markdown_escaped(cell) + " ";
        text += "|\n";
        if (r > 0) continue;
        for (std::size_t i = 0; i < rows[r].size(); ++i) text += i == 0 ? "|---" : "|---:";
        text += "|\n";
    }
    return text + fmt::format("\n{}.\n{}.\n\n{}\n", markdown_escaped(comparison.machine.text()),
                              markdown_escaped(circumstances(comparison)), kReading);
}

std::string comparison_html(const Comparison& comparison) {
    const std::string title = "Files beside " + markup_escaped(comparison.files.front().path);
    std::string page = fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<title>{0}</title><style>{1}</style></head>\n<body>\n<h1>{0}</h1>\n<div class=\"wide\" tabindex=\"0\">"
        "<table>\n",
        title, kPageStyle);
    const std::vector<Cells> rows = table(comparison);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        page += r == 0 ? "<thead><tr>" : "<tr>";
        for (std::size_t i = 0; i < rows[r].size(); ++i) {
            const char* tag = r == 0 || i == 0 ? "th" : "td";
            const char* scope = r == 0 ? " scope=\"col\"" : i == 0 ? " scope=\"row\"" : "";
            page += fmt::format("<{0}{1}>{2}</{0}>", tag, scope, markup_escaped(rows[r][i]));
        }
        page += r == 0 ? "</tr></thead>\n<tbody>\n" : "</tr>\n";
    }
    return page + fmt::format("</tbody></table></div>\n<p>{}.<br>{}.</p>\n<p>{}</p>\n</body>\n</html>\n",
                              markup_escaped(comparison.machine.text()), markup_escaped(circumstances(comparison)),
                              kReading);
}

}  // namespace plasticity
