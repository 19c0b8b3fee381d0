#include "report/frontier_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/units.h"
#include "report/markup.h"
#include "report/svg.h"

namespace plasticity {
namespace {

constexpr double kWidth = 720, kHeight = 440, kLeft = 72, kRight = 24, kTop = 56, kBottom = 56;
constexpr double kNoKl = 1e-6;  // stands for 0 where every point has it

/// Where bytes and divergences lie in the picture.
class Axes {
public:
    explicit Axes(const std::vector<FrontierPoint>& points) {
        const auto [smallest, largest] = std::ranges::minmax(points, {}, &FrontierPoint::file_bytes);
        for (const FrontierPoint& point : points)  // a divergence of 0 is drawn a decade below the others
            if (point.quality.mean_kl > 0) lowest_kl_ = std::min(lowest_kl_, point.quality.mean_kl / 10);
        if (!std::isfinite(lowest_kl_)) lowest_kl_ = kNoKl;
        const auto [best, worst] =
            std::ranges::minmax(points, {}, [](const FrontierPoint& point) { return point.quality.mean_kl; });
        const auto low = static_cast<double>(smallest.file_bytes), high = static_cast<double>(largest.file_bytes);
        const double margin = std::max(0.08 * (high - low), 0.02 * high);
        first_byte_ = std::max(0.0, low - margin);
        last_byte_ = high + margin;
        first_decade_ = static_cast<int>(std::floor(log_kl(best.quality.mean_kl) - 0.05));
        last_decade_ = static_cast<int>(std::ceil(log_kl(worst.quality.mean_kl) + 0.05));
    }

    double x(double bytes) const {
        return kLeft + (kWidth - kLeft - kRight) * (bytes - first_byte_) / (last_byte_ - first_byte_);
    }
    double y(double kl) const { return y_of_decade(log_kl(kl)); }

    std::string grid() const {
        std::string svg;
        for (int decade = first_decade_; decade <= last_decade_; ++decade)
            svg += fmt::format(
                "<line class=\"grid\" x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\"/>"
                "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:g}</text>\n",
                kLeft, y_of_decade(decade), kWidth - kRight, y_of_decade(decade), kLeft - 8, y_of_decade(decade) + 4,
                std::pow(10.0, decade));
        for (const double bytes : byte_ticks())
            svg += fmt::format(
                "<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\"/>"
                "<text x=\"{0:.1f}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>\n",
                x(bytes), kTop, kHeight - kBottom, kHeight - kBottom + 18,
                format_bytes(static_cast<std::uint64_t>(bytes)));
        return svg;
    }

private:
    double log_kl(double kl) const { return std::log10(std::max(kl, lowest_kl_)); }
    double y_of_decade(double decade) const {
        return kHeight - kBottom -
               (kHeight - kTop - kBottom) * (decade - first_decade_) / (last_decade_ - first_decade_);
    }

    /// Round numbers, four to eight of them.
    std::vector<double> byte_ticks() const {
        const double rough = (last_byte_ - first_byte_) / 5;
        const double power = std::pow(10.0, std::floor(std::log10(rough)));
        double step = power;
        for (const double factor : {2.0, 5.0, 10.0})
            if (step < 0.7 * rough) step = factor * power;
        std::vector<double> ticks;
        const auto first = static_cast<std::int64_t>(std::ceil(first_byte_ / step));
        for (std::int64_t i = first; static_cast<double>(i) * step <= last_byte_; ++i)
            ticks.push_back(static_cast<double>(i) * step);
        return ticks;
    }

    double lowest_kl_ = std::numeric_limits<double>::infinity();
    double first_byte_ = 0, last_byte_ = 1;
    int first_decade_ = -1, last_decade_ = 0;
};

std::string mark(const FrontierPoint& point, const Axes& axes, bool recommended) {
    const double x = axes.x(static_cast<double>(point.file_bytes)), y = axes.y(point.quality.mean_kl);
    std::string svg =
        fmt::format("<g><title>{}: {}, mean KL {:.4g}, {:.1f} tokens/s</title>", markup_escaped(point.name),
                    format_bytes(point.file_bytes), point.quality.mean_kl, point.generated_tokens_per_second);
    if (recommended) svg += fmt::format("<circle class=\"chosen\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"11\"/>", x, y);
    // Told apart by shape too, for those who do not see the colours.
    if (point.variant == "optimal")
        svg += fmt::format("<circle class=\"optimal\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"/>", x, y);
    else
        svg +=
            fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}l6 11h-12z\"/>", markup_escaped(point.variant), x, y - 7);
    const bool to_the_left = x > 0.8 * kWidth;  // a label must not leave the picture
    return svg + fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text></g>\n", to_the_left ? x - 10 : x + 10,
                             to_the_left ? y + 18 : y - 8, to_the_left ? " text-anchor=\"end\"" : "",
                             markup_escaped(point.name));
}

std::string frontier_line(const Frontier& frontier, const Axes& axes) {
    std::string points;
    for (const std::size_t i : pareto_indices(frontier.points)) {
        const FrontierPoint& point = frontier.points[i];
        points +=
            fmt::format("{:.1f},{:.1f} ", axes.x(static_cast<double>(point.file_bytes)), axes.y(point.quality.mean_kl));
    }
    return fmt::format("<polyline class=\"pareto\" points=\"{}\"/>\n", points);
}

constexpr std::string_view kFrontierStyle =
    ".frontier .grid{stroke:var(--grid)}.frontier .pareto{fill:none;stroke:var(--blue);stroke-width:1.5}"
    ".frontier .optimal{fill:var(--blue)}.frontier .pruned{fill:var(--orange)}.frontier .tiers{fill:var(--ink)}"
    ".frontier .chosen{fill:none;stroke:var(--orange);stroke-width:2.5}";

}  // namespace

std::string frontier_svg(const Frontier& frontier) {
    const Axes axes(frontier.points);
    std::string svg =
        svg_begin({kWidth, kHeight, "frontier", "Divergence against size of " + frontier.model}, kFrontierStyle) +
        fmt::format(
            "<text x=\"{0}\" y=\"22\" font-size=\"16\" font-weight=\"600\">{1}</text>\n"
            "<text x=\"{0}\" y=\"42\">mean KL from the base (nats per token, logarithmic) against bytes of the "
            "file</text>\n",
            kLeft, markup_escaped(frontier.model));
    svg += axes.grid();
    svg += frontier_line(frontier, axes);
    for (const FrontierPoint& point : frontier.points) svg += mark(point, axes, point.name == frontier.recommended);
    return svg + "</svg>\n";
}

std::string frontier_table(const Frontier& frontier) {
    std::vector<const FrontierPoint*> rows;
    for (const FrontierPoint& point : frontier.points) rows.push_back(&point);
    std::ranges::stable_sort(rows, {}, [](const FrontierPoint* p) { return std::tuple(p->file_bytes, p->name); });
    std::string text = fmt::format("  {:<16}{:>12}{:>12}{:>20}{:>9}{:>14}{:>12}\n", "plan", "file", "at run time",
                                   "mean KL", "top-1", "perplexity", "tokens/s");
    for (const FrontierPoint* p : rows) {
        text += fmt::format("{} {:<16}{:>12}{:>12}{:>20}{:>7.1f} %{:>14.4f}{:>12.1f}\n",
                            p->name == frontier.recommended ? '*' : ' ', p->name, format_bytes(p->file_bytes),
                            format_bytes(p->run_time_bytes), p->quality.mean_kl_text(), 100 * p->quality.top1_agreement,
                            p->quality.perplexity, p->generated_tokens_per_second);
    }
    for (const SkippedPoint& point : frontier.skipped)
        text += fmt::format("  {:<16}not measured: {}\n", point.name, point.reason);
    return text + fmt::format("\n* {}", frontier.reason);
}

}  // namespace plasticity
