#include <fmt/format.h>

#include <algorithm>

#include "report/markup.h"
#include "report/page_sections.h"
#include "report/svg.h"

namespace plasticity {
namespace {

constexpr double kPanelWidth = 440, kNames = 84, kBar = 26, kRow = 44;
constexpr double kAxis = 48, kCeiling = 12, kTallest = 180, kScale = 44;  // of the histogram

/// A mean with one standard error to both sides, if there is one.
struct Estimate {
    std::string_view name;
    std::string_view kind;
    double value = 0;
    std::optional<double> error;

    double end() const { return value + error.value_or(0); }
    std::string text() const { return estimate_text(value, error); }
};

std::string estimate_bar(const Estimate& estimate, double top, double scale) {
    const double end = kNames + estimate.value * scale, middle = top + kBar / 2;
    std::string svg = fmt::format(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{:.1f}\" "
        "height=\"{}\"/>\n",
        kNames - 10, middle + 5, estimate.name, estimate.kind, kNames, top, end - kNames, kBar);
    if (estimate.error) {
        const double low = std::max(estimate.value - *estimate.error, 0.0) * scale + kNames;
        const double high = estimate.end() * scale + kNames;
        svg += fmt::format("<path class=\"error\" d=\"M{0:.1f} {2}H{1:.1f}M{0:.1f} {3}v12M{1:.1f} {3}v12\"/>\n", low,
                           high, middle, middle - 6);
    }
    return svg + fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>\n", kNames + estimate.end() * scale + 8, middle + 5,
                             estimate.text());
}

/// Two bars, one above the other.
std::string prediction_svg(const PredictedKl& predicted, const QualityPanel& quality) {
    const Estimate expected{"predicted", "predicted", std::max(predicted.value, 0.0), predicted.standard_error};
    const Estimate measured{"measured", "measured", std::max(quality.mean_kl, 0.0), quality.mean_kl_error};
    const double most = std::max({expected.end(), measured.end(), 1e-12});
    const double scale = (kPanelWidth - kNames - 150) / most;
    return svg_begin({kPanelWidth, 2 * kRow, "estimates",
                      fmt::format("KL divergence: predicted {}, measured {} nats per token", expected.text(),
                                  measured.text())},
                     ".estimates .predicted{fill:var(--orange)}.estimates .measured{fill:var(--blue)}"
                     ".estimates .error{stroke:var(--ink);stroke-width:1.5;fill:none}") +
           estimate_bar(expected, 8, scale) + estimate_bar(measured, 8 + kRow, scale) + "</svg>\n";
}

/// Bins are drawn equally wide: their edges may lie on any scale.
std::string histogram_svg(const KlHistogram& histogram) {
    const auto bins = static_cast<double>(histogram.counts.size());
    const double bin = (kPanelWidth - kAxis - 12) / bins;
    const std::int64_t most = std::max<std::int64_t>(*std::ranges::max_element(histogram.counts), 1);
    std::string svg =
        svg_begin({kPanelWidth, kCeiling + kTallest + kScale, "histogram",
                   fmt::format("Histogram of the KL divergence of single positions; at most {} in a bin", most)},
                  ".histogram rect{fill:var(--blue)}.histogram path{stroke:var(--grid)}");
    svg += fmt::format("<path d=\"M{0} {1}H{2}\"/><text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{5}</text>\n", kAxis,
                       kCeiling + kTallest, kPanelWidth - 12, kAxis - 8, kCeiling + 10, most);
    const std::size_t every = std::max<std::size_t>(1, histogram.counts.size() / 6);
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
        const double height = kTallest * static_cast<double>(histogram.counts[i]) / static_cast<double>(most);
        const double x = kAxis + bin * static_cast<double>(i);
        svg += fmt::format(
            "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.1f}\"><title>{:.3g} to {:.3g} nats: {} "
            "positions"
            "</title></rect>\n",
            x, kCeiling + kTallest - height, std::max(bin - 1, 0.5), height, histogram.edges[i], histogram.edges[i + 1],
            histogram.counts[i]);
        if (i % every == 0)
            svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.2g}</text>\n", x,
                               kCeiling + kTallest + 18, histogram.edges[i]);
    }
    return svg + fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nats</text></svg>\n",
                             (kPanelWidth + kAxis) / 2, kCeiling + kTallest + 38);
}

std::string figures(const QualityPanel& quality) {
    return fact_list({{"Mean KL", quality.mean_kl_text() + " nats"},
                      {"Median KL", fmt::format("{:.4g} nats", quality.median_kl)},
                      {"99.9 % KL", fmt::format("{:.4g} nats", quality.p999_kl)},
                      {"Largest KL", fmt::format("{:.4g} nats", quality.max_kl)},
                      {"Same most likely token", fmt::format("{:.2f} %", 100 * quality.top1_agreement)},
                      {"Perplexity", fmt::format("{:.4f} against {:.4f} (× {:.4f})", quality.perplexity,
                                                 quality.base_perplexity, quality.perplexity_ratio())},
                      {"Positions", fmt::format("{}", quality.positions)}});
}

/// What calibration measured in memory: the plans that the prediction follows from.
std::string corners_table(const Calibration& calibration) {
    std::string table =
        "<table>\n<caption>Plans tried on calibration text</caption>\n<thead><tr><th scope=\"col\">plan</th>"
        "<th scope=\"col\" class=\"n\">predicted damage</th><th scope=\"col\" class=\"n\">measured "
        "KL</th></tr></thead>\n<tbody>\n";
    for (const CalibrationCorner& corner : calibration.corners)
        table += fmt::format(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{:.4g}</td><td class=\"n\">{:.4g} ± {:.2g}</td></tr>\n",
            markup_escaped(corner.plan), corner.predicted_damage, corner.measured_kl, corner.standard_error);
    return scrolling("Plans tried on calibration text", table + "</tbody>\n</table>\n");
}

}  // namespace

std::string quality_section(const RunRecord& record) {
    std::string body;
    if (const QualityPanel* quality = record.quality()) {
        if (record.report && record.report->predicted_kl)
            body += "<h3>Predicted against measured</h3>\n" +
                    scrolling("Predicted against measured", prediction_svg(*record.report->predicted_kl, *quality));
        body += figures(*quality);
        if (!quality->histogram.counts.empty())
            body +=
                "<h3>Divergence of single positions</h3>\n" + scrolling("Histogram", histogram_svg(quality->histogram));
    } else {
        body += "<p>Not measured: no held-out text was given, or the base was not at hand.</p>\n";
        if (record.recipe.predicted_kl)
            body += fmt::format("<p>Predicted: a KL divergence of {:.4g} nats per token.</p>\n",
                                *record.recipe.predicted_kl);
    }
    if (record.recipe.calibration) body += corners_table(*record.recipe.calibration);
    return page_section("quality", "Quality", body);
}

}  // namespace plasticity
