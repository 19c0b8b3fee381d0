#include <algorithm>
#include <string>

#include "ipc/arguments.h"
#include "ipc/method_list.h"

namespace plasticity {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using Kind = ParameterKind;

constexpr double kExpendable = 0.1;  ///< the tiers' first threshold: heads below it are removed
constexpr std::pair<const char*, std::string_view> kCapture{"capturePath", "outputPath"};

constexpr std::array kScoreParameters{
    Parameter{"modelPath", Kind::kModel, "model to score", true},
    Parameter{"dataPaths", Kind::kInputs, "text, source trees or JSONL of the task", true},
    Parameter{"outputPath", Kind::kOutput, "gate_gradients.json to write", true},
    Parameter{"statsPath", Kind::kOutput, "statistics to write (GGUF)"},
    Parameter{"gramPath", Kind::kOutput, "Gram matrices to write (GGUF)"},
    Parameter{"gramTokens", Kind::kInteger, "with gramPath: tokens that they are summed over; 0: all of the data"},
    Parameter{"tokens", Kind::kInteger, "stop after so many; 0: all of the data"},
    Parameter{"chunk", Kind::kInteger, "tokens an example of plain text holds"},
    Parameter{"slice", Kind::kText, "i/n: the i-th of n consecutive parts of the examples"},
    Parameter{"curvatureEvery", Kind::kInteger, "with statsPath: one example of so many for curvature; 0: none"},
    Parameter{"precision", Kind::kText, "of weights: f32, f16, bf16 or auto"},
    Parameter{"memory", Kind::kSize, "the most memory to take"},
    Parameter{"epochs", Kind::kInteger, "trains a LoRA adapter for so many epochs on the way"},
    Parameter{"adapterPath", Kind::kInput, "PEFT folder to begin from"},
    Parameter{"saveAdapterPath", Kind::kOutput, "folder to write the adapter to"},
    kForceParameter,
};
constexpr auto kAllScoreParameters = joined(kScoreParameters, kComputeParameters);

std::vector<MethodStep> score_steps(const json& p) {
    return {{.arguments = Arguments("score", p)
                              .positional("modelPath")
                              .options({{"--data", "dataPaths"},
                                        {"--output", "outputPath"},
                                        {"--stats", "statsPath"},
                                        {"--gram", "gramPath"},
                                        {"--gram-tokens", "gramTokens"},
                                        {"--tokens", "tokens"},
                                        {"--chunk", "chunk"},
                                        {"--slice", "slice"},
                                        {"--curvature-every", "curvatureEvery"},
                                        {"--precision", "precision"},
                                        {"--memory", "memory"},
                                        {"--epochs", "epochs"},
                                        {"--adapter", "adapterPath"},
                                        {"--save-adapter", "saveAdapterPath"},
                                        {"--threads", "threads"},
                                        {"--seed", "seed"}})
                              .take(),
             .outputs = outputs_of(p, {"outputPath", "statsPath", "gramPath", "saveAdapterPath"}),
             .may_replace = is_on(p, "force"),
             .can_resume = true}};
}

json score_promise(const json& p) {
    return picked(p,
                  {kCapture, {"statsPath", "statsPath"}, {"gramPath", "gramPath"}, {"adapterPath", "saveAdapterPath"}});
}

/// Examples, tokens and loss beside the files.
ordered_json counts_of(ordered_json files, const ordered_json& printed) {
    files["examples"] = printed.at("examples");
    files["tokens"] = printed.at("tokens");
    files["meanLoss"] = printed.at("mean_loss");
    return files;
}

ordered_json score_result(const json& p, const std::vector<ordered_json>& documents) {
    return counts_of(score_promise(p), documents.at(0));
}

constexpr std::array kMergeParameters{
    Parameter{"capturePaths", Kind::kInputs, "gate_gradients.json of every slice", true},
    Parameter{"outputPath", Kind::kOutput, "gate_gradients.json to write", true},
    Parameter{"statsPaths", Kind::kInputs, "statistics of every slice"},
    Parameter{"statsOutputPath", Kind::kOutput, "statistics to write"},
    kForceParameter,
};

std::vector<MethodStep> merge_steps(const json& p) {
    return {{.arguments =
                 Arguments("merge", p)
                     .positional("capturePaths")
                     .options(
                         {{"--output", "outputPath"}, {"--stats", "statsPaths"}, {"--stats-output", "statsOutputPath"}})
                     .take(),
             .outputs = outputs_of(p, {"outputPath", "statsOutputPath"}),
             .may_replace = is_on(p, "force")}};
}

json merge_promise(const json& p) {
    return picked(p, {kCapture, {"statsPath", "statsOutputPath"}});
}

ordered_json merge_result(const json& p, const std::vector<ordered_json>& documents) {
    return counts_of(merge_promise(p), documents.at(0));
}

constexpr std::array kAnalyzeParameters{
    Parameter{"capturePath", Kind::kInput, "gate_gradients.json", true},
    Parameter{"threshold", Kind::kNumber, "heads that score below it are candidates for removal; 0.1"},
};

std::vector<MethodStep> analyze_steps(const json& p) {
    return {{.arguments = Arguments("inspect", p).positional("capturePath").take(), .outputs = {}}};
}

/// Heads below the threshold, the cheapest first, and KV groups of which all query heads are among them.
void add_candidates(const ordered_json& layer_scores, std::size_t n_groups, double threshold, ordered_json& result) {
    std::vector<ordered_json> heads;
    ordered_json groups = ordered_json::array();
    for (std::size_t layer = 0; layer < layer_scores.size(); ++layer) {
        const auto scores = layer_scores[layer].get<std::vector<double>>();
        for (std::size_t head = 0; head < scores.size(); ++head)
            if (scores[head] < threshold)
                heads.push_back({{"layerIndex", layer}, {"headIndex", head}, {"score", scores[head]}});
        if (n_groups == 0 || scores.size() % n_groups != 0) continue;
        const std::size_t width = scores.size() / n_groups;
        for (std::size_t group = 0; group < n_groups; ++group) {
            const auto first = scores.begin() + static_cast<std::ptrdiff_t>(group * width);
            const double largest = *std::max_element(first, first + static_cast<std::ptrdiff_t>(width));
            if (largest < threshold)
                groups.push_back({{"layerIndex", layer}, {"kvHeadIndex", group}, {"largestScore", largest}});
        }
    }
    std::ranges::stable_sort(heads, {}, [](const ordered_json& head) { return head["score"].get<double>(); });
    result["candidateHeads"] = heads;
    result["candidateKvGroups"] = std::move(groups);
}

ordered_json analyze_result(const json& p, const std::vector<ordered_json>& documents) {
    const ordered_json& printed = documents.at(0);
    const ordered_json none = ordered_json::array();
    const ordered_json& scores = printed.contains("layer_scores") ? printed["layer_scores"] : none;
    ordered_json result = counts_of({{"modelName", printed.value("model", "")}}, printed);
    result["numLayers"] = scores.size();
    result["numHeads"] = printed.at("heads");
    result["numKvHeads"] = printed.at("kv_heads");
    result["threshold"] = p.value("threshold", kExpendable);
    add_candidates(scores, printed.at("kv_heads").get<std::size_t>(), result["threshold"], result);
    result["layerScores"] = scores;
    return result;
}

}  // namespace

const Method& score_method() {
    static const Method method{"plasticity/score",  "Which heads does the task use? Writes gate_gradients.json",
                               kAllScoreParameters, score_steps,
                               score_result,        score_promise};
    return method;
}

const Method& merge_method() {
    static const Method method{"plasticity/merge", "Adds up the slices of a scoring run",
                               kMergeParameters,   merge_steps,
                               merge_result,       merge_promise};
    return method;
}

const Method& analyze_method() {
    static const Method method{
        "plasticity/analyze", "Scores by layer and head, and which heads are candidates for removal",
        kAnalyzeParameters,   analyze_steps,
        analyze_result,       nothing_promised};
    return method;
}

}  // namespace plasticity
