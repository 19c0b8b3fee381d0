#include <fmt/format.h>

#include "report/markup.h"
#include "report/page_sections.h"

namespace plasticity {

std::string page_section(std::string_view id, std::string_view title, std::string_view body) {
    return fmt::format(
        "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n", id, title,
        body);
}

std::string scrolling(std::string_view label, std::string_view body) {
    return fmt::format("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{}</div>\n",
                       markup_escaped(label), body);
}

std::string fact_list(const std::vector<PageFact>& facts) {
    std::string html = "<dl>\n";
    for (const PageFact& fact : facts)
        html +=
            fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", markup_escaped(fact.name), markup_escaped(fact.value));
    return html + "</dl>\n";
}

}  // namespace plasticity
