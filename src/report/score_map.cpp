#include "report/score_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "report/markup.h"
#include "report/svg.h"

namespace plasticity {
namespace {

using Scores = std::vector<std::vector<double>>;

constexpr double kCell = 16, kMargin = 56, kHeading = 96, kGap = 48, kFoot = 52;

std::size_t most_heads(const Scores& scores) {
    std::size_t most = 1;
    for (const std::vector<double>& layer : scores) most = std::max(most, layer.size());
    return most;
}

bool is_removed(const LayerTopology& layer, std::size_t head) {
    return !std::ranges::binary_search(layer.retained_head_indices, static_cast<std::int32_t>(head));
}

/// One heat map. Signed values are blue above 0 and orange below.
class Panel {
public:
    Panel(std::string title, Scores values, double left, const Topology* topology = nullptr)
        : title_(std::move(title)),
          values_(std::move(values)),
          left_(left),
          n_heads_(most_heads(values_)),
          topology_(topology) {}

    double width() const { return std::max(kCell * static_cast<double>(n_heads_), 160.0); }
    double height() const { return kCell * static_cast<double>(values_.size()); }

    std::string svg() const {
        std::string svg = fmt::format("<text x=\"{}\" y=\"{}\" font-weight=\"600\">{}</text>\n", left_, kHeading - 26,
                                      markup_escaped(title_));
        for (std::size_t layer = 0; layer < values_.size(); ++layer) {
            if (layer % 4 == 0)
                svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", left_ - 6,
                                   top_of(layer) + kCell - 4, layer);
            for (std::size_t head = 0; head < values_[layer].size(); ++head) svg += cell(layer, head);
        }
        for (std::size_t head = 0; head < n_heads_; head += 4)
            svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", left_of(head) + kCell / 2,
                               kHeading - 6, head);
        return svg;
    }

private:
    double left_of(std::size_t head) const { return left_ + kCell * static_cast<double>(head); }
    double top_of(std::size_t layer) const { return kHeading + kCell * static_cast<double>(layer); }

    std::string cell(std::size_t layer, std::size_t head) const {
        const double value = values_[layer][head];
        const bool is_gone = topology_ != nullptr && is_removed(topology_->layers[layer], head);
        std::string svg = fmt::format(
            "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{:.3f}\">"
            "<title>layer {}, head {}: {:.4f}{}</title></rect>\n",
            value < 0 ? "less" : "more", left_of(head), top_of(layer), kCell - 1, kCell - 1,
            std::min(std::abs(value), 1.0), layer, head, value, is_gone ? ", removed" : "");
        if (is_gone)
            svg += fmt::format("<path class=\"gone\" d=\"M{0} {1}l{2} {2}m0 -{2}l-{2} {2}\"/>\n", left_of(head) + 3,
                               top_of(layer) + 3, kCell - 7);
        return svg;
    }

    std::string title_;
    Scores values_;
    double left_;
    std::size_t n_heads_;
    const Topology* topology_;  ///< whose removed heads are crossed; nullptr: none are
};

Scores difference_of(const Scores& first, const Scores& second) {
    Scores difference = first;
    for (std::size_t layer = 0; layer < first.size(); ++layer)
        for (std::size_t head = 0; head < first[layer].size(); ++head) difference[layer][head] -= second[layer][head];
    return difference;
}

/// What the depths of colour stand for.
std::string legend(double top, bool compares) {
    std::string svg;
    for (int step = 0; step <= 4; ++step)
        svg += fmt::format(
            "<rect class=\"more\" x=\"{}\" y=\"{}\" width=\"15\" height=\"15\" fill-opacity=\"{}\"/>"
            "<text x=\"{}\" y=\"{}\">{}</text>\n",
            kMargin + 56 * step, top, 0.25 * step, kMargin + 56 * step + 20, top + 12, 0.25 * step);
    if (compares)
        svg += fmt::format(
            "<rect class=\"less\" x=\"{0}\" y=\"{1}\" width=\"15\" height=\"15\"/>"
            "<text x=\"{2}\" y=\"{3}\">the second task uses it more</text>\n",
            kMargin + 300, top, kMargin + 320, top + 12);
    return svg;
}

constexpr std::string_view kScoreMapStyle =
    ".scores rect{stroke:var(--grid);stroke-width:1}.scores .more{fill:var(--blue)}.scores .less{fill:var(--orange)}"
    ".scores .gone{stroke:var(--orange);stroke-width:2}";

}  // namespace

std::string score_map_svg(const std::vector<NamedScores>& tasks) {
    std::vector<Panel> panels;
    double right = kMargin;
    const auto add = [&](const std::string& title, const Scores& values) {
        panels.emplace_back(title, values, right);
        right += panels.back().width() + kGap;
    };
    for (const NamedScores& task : tasks) add(task.name, task.gradients.layer_scores());
    std::string heading = "scores of layers (down) × query heads (across)";
    if (tasks.size() == 2) {
        add("difference", difference_of(tasks[0].gradients.layer_scores(), tasks[1].gradients.layer_scores()));
        const ScoreSpread spread = score_spread(tasks[0].gradients, tasks[1].gradients);
        heading += fmt::format("; rank correlation of the two {:.3f}", spread.rank_correlation);
    }
    const double bottom = kHeading + panels.front().height();
    const std::string& model = tasks.front().gradients.model_name;
    std::string svg =
        svg_begin({std::max(right, 640.0), bottom + kFoot, "scores", "Head scores of " + model}, kScoreMapStyle) +
        fmt::format(
            "<text x=\"{0}\" y=\"22\" font-size=\"16\" font-weight=\"600\">{1}</text>\n"
            "<text x=\"{0}\" y=\"42\">{2}</text>\n",
            kMargin, markup_escaped(model), heading);
    for (const Panel& panel : panels) svg += panel.svg();
    return svg + legend(bottom + 18, tasks.size() == 2) + "</svg>\n";
}

std::string kept_heads_svg(const Topology& topology) {
    Scores scores;
    std::size_t removed = 0;
    for (const LayerTopology& layer : topology.layers) {
        scores.push_back(layer.head_scores);
        for (std::size_t head = 0; head < layer.head_scores.size(); ++head) removed += is_removed(layer, head) ? 1 : 0;
    }
    const Panel panel("layers (down) × query heads (across)", scores, kMargin, &topology);
    const double bottom = kHeading + panel.height(), top = kHeading - 44;  // no names of model and task above it
    std::string svg = svg_begin({std::max(kMargin + panel.width() + kGap, 420.0), bottom + kFoot - top, "scores",
                                 fmt::format("Scores of all query heads; {} are removed and crossed", removed), top},
                                kScoreMapStyle);
    svg += panel.svg() + legend(bottom + 18, false);
    if (removed > 0)
        svg +=
            fmt::format("<path class=\"gone\" d=\"M{0} {1}l9 9m0 -9l-9 9\"/><text x=\"{2}\" y=\"{3}\">removed</text>\n",
                        kMargin + 290, bottom + 21, kMargin + 306, bottom + 30);
    return svg + "</svg>\n";
}

std::string score_map_text(const std::vector<Scores>& maps) {
    static constexpr std::string_view kShades = " .:-=+*#%@";
    std::string text = "  scores, a row per layer, a column per query head (blank: not used, @: most used)\n";
    for (std::size_t layer = 0; layer < maps.front().size(); ++layer) {
        text += fmt::format("  {:>3}", layer);
        for (const Scores& map : maps) {
            text += " |";
            for (const double score : map[layer])
                text += kShades[static_cast<std::size_t>(std::lround(score * static_cast<double>(kShades.size() - 1)))];
            text += "|";
        }
        text += "\n";
    }
    return text;
}

std::string score_spread_text(const ScoreSpread& spread) {
    std::string text = fmt::format("  {:<20} {:.4f}\n  {:<20} {:.4f}\n  furthest apart:", "rank_correlation",
                                   spread.rank_correlation, "mean_difference", spread.mean_difference);
    for (const HeadSpread& head : spread.largest)
        text += fmt::format("\n    layer {:>3}, head {:>3}: {:.3f} against {:.3f}", head.layer, head.head, head.first,
                            head.second);
    return text;
}

}  // namespace plasticity
