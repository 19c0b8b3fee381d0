#include "report/report_page.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "report/markup.h"
#include "report/page_assets.h"
#include "report/page_sections.h"

namespace plasticity {
namespace {

/// Nothing is loaded, and no script runs but the page's own.
std::string content_policy() {
    return fmt::format("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'",
                       sha256_base64(page_script()));
}

std::string page_head(std::string_view title) {
    return fmt::format(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n",
        content_policy(), title, page_style());
}

/// A link to every section that the page has.
std::string navigation(std::string_view sections) {
    std::string html = "<nav aria-label=\"Sections\"><ul>\n";
    constexpr std::string_view kHeading = "<h2 id=\"";
    for (std::size_t at = sections.find(kHeading); at != std::string_view::npos; at = sections.find(kHeading, at + 1)) {
        const std::size_t id = at + kHeading.size(), id_end = sections.find("-title", id);
        const std::size_t title = sections.find('>', id) + 1, title_end = sections.find("</h2>", title);
        html += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", sections.substr(id, id_end - id),
                            sections.substr(title, title_end - title));
    }
    return html + "</ul></nav>\n";
}

std::string headline(const RunRecord& record) {
    const bool is_judged = record.report.has_value(), passed = is_judged && record.report->passed();
    return fmt::format("<header>\n<h1>{}</h1>\n<p>compressed by plasticity {}{}</p>\n</header>\n",
                       markup_escaped(record.model_name()), markup_escaped(record.recipe.pipeline_version),
                       !is_judged ? ""
                       : passed   ? " <span class=\"verdict good\">✓ verified</span>"
                                  : " <span class=\"verdict bad\">✗ not verified</span>");
}

}  // namespace

std::string report_page(const RunRecord& record) {
    std::string sections;
    for (const auto section : {summary_section, quality_section, samples_section, heads_section, types_section,
                               bytes_section, frontier_section, checks_section, reasons_section, origin_section})
        sections += section(record);
    return page_head(markup_escaped(record.model_name()) + " – plasticity") + "<body>\n" + headline(record) +
           navigation(sections) + "<main>\n" + sections + "</main>\n<script>" + std::string(page_script()) +
           "</script>\n</body>\n</html>\n";
}

}  // namespace plasticity
