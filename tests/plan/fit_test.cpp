#include "plan/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "artifact/output_layout.h"
#include "artifact/type_names.h"
#include "core/checked.h"
#include "core/error.h"
#include "plan/measured_choice.h"
#include "plan/synthetic_model.h"
#include "support/expect_error.h"

namespace plasticity {
namespace {

using test::gradients_of;
using test::mixed_scores;
using test::shape;
using test::SyntheticModel;

Recipe fit_to(const SyntheticModel& model, const PlanGoal& goal, PruneRequest prune = {}) {
    const GateGradients scores = gradients_of(model.architecture(), mixed_scores(model.architecture()));
    PlanGoal with_prune = goal;
    with_prune.prune = prune;
    with_prune.context_length = 1024;
    with_prune.kv_type_name = "f16";
    return fit({model, scores, with_prune}, choose_heads(model.architecture(), scores.layer_scores(), prune));
}

PlanGoal file_of(std::uint64_t bytes) {
    PlanGoal goal;
    goal.target_bytes = bytes;
    return goal;
}

/// Bytes that the cheapest promotion of any matrix in the recipe would add.
std::uint64_t smallest_step(const SyntheticModel& model, const Recipe& recipe) {
    std::uint64_t smallest = std::numeric_limits<std::uint64_t>::max();
    for (const OutputTensor& tensor : lay_out(model, recipe, {}).tensors) {
        if (tensor.source->is_vector) continue;
        const std::vector<ggml_type> ladder = type_ladder(tensor.spec.dims[0], GGML_TYPE_Q3_K);
        const auto at = std::ranges::find(ladder, tensor.spec.type);
        if (at == ladder.begin()) continue;
        const std::uint64_t above =
            ggml_row_size(*(at - 1), tensor.spec.dims[0]) * static_cast<std::uint64_t>(tensor.spec.dims[1]);
        smallest = std::min(smallest, align_up(above, 32) - align_up(tensor.spec.bytes(), 32));
    }
    return smallest;
}

TEST(Fit, ComesAsNearToAFileSizeAsTheTypesAllowAndNeverOver) {
    for (const SyntheticModel& model : {SyntheticModel(shape()), SyntheticModel(shape({.n_embd = 480, .tied = false})),
                                        SyntheticModel(shape({.name = "qwen2"}), true)}) {
        const std::uint64_t most = fit_to(model, file_of(1u << 30)).budget.file_bytes;
        for (std::uint64_t target = most * 11 / 40; target < most; target += most / 37) {
            SCOPED_TRACE(target);
            const Recipe recipe = fit_to(model, file_of(target));
            EXPECT_EQ(recipe.budget.limit_bytes, target);
            EXPECT_LE(recipe.budget.file_bytes, target);
            EXPECT_EQ(recipe.budget.file_bytes, lay_out(model, recipe, {}).file.file_bytes());
            // A step also changes the recipe's text by some bytes.
            EXPECT_LT(target - recipe.budget.file_bytes, smallest_step(model, recipe) + 512);
        }
    }
}

TEST(Fit, IsTheSameTwice) {
    const SyntheticModel model(shape());
    EXPECT_EQ(recipe_to_json(fit_to(model, file_of(4'000'000))), recipe_to_json(fit_to(model, file_of(4'000'000))));
}

TEST(Fit, ReadsBitsPerWeightOverTheOutput) {
    const SyntheticModel model(shape());
    PlanGoal goal;
    goal.target_bits_per_weight = 5.0;
    const Recipe recipe = fit_to(model, goal);
    std::int64_t parameters = 0;
    for (const OutputTensor& tensor : lay_out(model, recipe, {}).tensors)
        parameters += tensor.spec.dims[0] * tensor.spec.dims[1];
    EXPECT_EQ(recipe.budget.limit_bytes, static_cast<std::uint64_t>(parameters) * 5 / 8);
    EXPECT_LE(recipe.budget.file_bytes, recipe.budget.limit_bytes);
}

TEST(Fit, OnADeviceTiersAreDemotedButNeverPromoted) {
    const SyntheticModel model(shape());
    PlanGoal roomy;
    roomy.device = Device{"box", 10'000'000'000, 0};
    const Recipe free = fit_to(model, roomy);
    EXPECT_EQ(free.assignment_for("model.embed_tokens.weight")->type, GGML_TYPE_Q6_K);
    EXPECT_EQ(free.budget.total_bytes, free.budget.embedding_bytes + free.budget.attention_bytes +
                                           free.budget.mlp_bytes + free.budget.norm_bytes +
                                           free.budget.kv_cache_max_bytes + free.budget.compute_bytes);

    PlanGoal tight;
    tight.device = Device{"box", free.budget.total_bytes - 100'000, 0};
    const Recipe fitted = fit_to(model, tight);
    EXPECT_LE(fitted.budget.total_bytes, tight.device->effective_bytes());
    EXPECT_EQ(fitted.topology, free.topology);  // demotion was enough
    EXPECT_NE(recipe_to_json(fitted).find("demoted"), std::string::npos);
}

TEST(Fit, PrunesMoreWhereTheFloorIsNotEnough) {
    const SyntheticModel model(shape());
    PlanGoal goal;
    goal.device = Device{"box", 10'000'000'000, 0};
    const Recipe free = fit_to(model, goal);
    // Below what all matrices at the floor take, but with heads and their KV cache left to remove.
    std::uint64_t low = 1, high = free.budget.total_bytes;
    while (high - low > 1000) {
        goal.device->memory_bytes = (low + high) / 2;
        try {
            fit_to(model, goal);
            high = goal.device->memory_bytes;
        } catch (const Error& error) {
            ASSERT_EQ(error.kind(), ErrorKind::kInfeasible);
            low = goal.device->memory_bytes;
        }
    }
    goal.device->memory_bytes = high;
    const Recipe smallest = fit_to(model, goal);
    for (const LayerTopology& layer : smallest.topology.layers) EXPECT_GE(layer.num_heads, 4);
    EXPECT_GT(smallest.topology.parameter_reduction, free.topology.parameter_reduction);
    EXPECT_THROW(fit_to(model, goal, {PruneRequest::Kind::kOff, 0}), Error);  // which may not prune
}

TEST(Fit, SaysWhatWouldFit) {
    const SyntheticModel model(shape());
    try {
        fit_to(model, file_of(1000), {PruneRequest::Kind::kOff, 0});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kInfeasible);
        const std::string message = error.what();
        const std::string key = "smallest file is ";
        const auto at = message.find(key);
        ASSERT_NE(at, std::string::npos) << message;
        const std::uint64_t least = std::stoull(message.substr(at + key.size()));
        const Recipe recipe = fit_to(model, file_of(least), {PruneRequest::Kind::kOff, 0});
        EXPECT_LE(recipe.budget.file_bytes, least);
    }
}

TEST(Fit, OverridesBeatFloorAndTiers) {
    const SyntheticModel model(shape());
    PlanGoal goal;
    goal.device = Device{"box", 10'000'000'000, 0};
    goal.overrides.push_back({NamePattern(".*"), GGML_TYPE_F16});
    const Recipe recipe = fit_to(model, goal, {PruneRequest::Kind::kKvGroups, 1});
    EXPECT_TRUE(recipe.prunes());
    EXPECT_EQ(recipe.output_architecture, "llama") << "the same in every block: its own loader takes it";
    for (const OutputTensor& tensor : lay_out(model, recipe, {}).tensors)
        EXPECT_EQ(tensor.spec.type, tensor.source->is_vector ? GGML_TYPE_F32 : GGML_TYPE_F16);
    EXPECT_NE(recipe.assignment_for("model.embed_tokens.weight")->reason.find("--tensor-type .*=f16"),
              std::string::npos);
}

TEST(Fit, ReasonsCarryTheirNumbers) {
    const SyntheticModel model(shape({.n_embd = 480}));
    const Recipe recipe = fit_to(model, file_of(6'000'000));
    const std::string reason = recipe.assignment_for("model.layers.0.self_attn.q_proj.weight")->reason;
    for (const char* part : {"tier: mean score 0.", "bits per weight", " bytes", "predicted damage", "next ",
                             "32-wide blocks: 480 is no multiple of 256"})
        EXPECT_NE(reason.find(part), std::string::npos) << reason;
}

/// Damage without weights: what types leave of random rows, times what the matrix holds and a factor of its own.
MeasuredDamage synthetic_damage(const SyntheticModel& model, const PlanGoal& goal, double of_a_head) {
    MeasuredDamage damage;
    double factor = 1;
    const auto candidates = padding_candidates(model.architecture(), goal.align);
    for (const DamageQuestion& question : damage_questions(model, goal, candidates)) {
        factor = factor < 20 ? factor * 1.7 : factor / 25;
        for (const ggml_type type : question.types)
            damage.types.set(question.matrix->name, type,
                             1e-9 * factor * relative_error(type) *
                                 static_cast<double>(question.matrix->rows * question.matrix->cols));
    }
    for (const LayerGeometry& layer : model.architecture().layers)
        damage.heads.emplace_back(static_cast<std::size_t>(layer.n_head), of_a_head);
    return damage;
}

/// 960 channels are no multiple of 256; 15 heads of 64 on 5 KV heads would become 20.
class FitRagged : public testing::Test {
protected:
    Recipe optimal(std::uint64_t bytes, Align align) const {
        PlanGoal goal = file_of(bytes);
        goal.align = align;
        goal.require_stock = align != Align::kColumns && align != Align::kAutoOwn;
        goal.context_length = 1024;
        goal.kv_type_name = "f16";
        goal.prune.kind = PruneRequest::Kind::kOff;
        const MeasuredDamage damage = synthetic_damage(model_, goal, 1);
        const Recipe recipe = fit({.model = model_, .scores = scores_, .goal = goal, .damage = &damage},
                                  HeadPruning(model_.architecture(), scores_.layer_scores()));
        EXPECT_LE(recipe.budget.file_bytes, bytes);
        EXPECT_EQ(recipe.budget.file_bytes, lay_out(model_, recipe, {}).file.file_bytes());
        EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "text"), recipe);
        return recipe;
    }
    std::uint64_t bytes_at(double bits) const {
        double parameters = 0;
        for (const ModelTensor& tensor : model_.tensors())
            parameters += static_cast<double>(tensor.rows) * static_cast<double>(tensor.cols);
        return static_cast<std::uint64_t>(parameters * bits / 8);
    }

    SyntheticModel model_{shape({.n_embd = 960, .n_head = 15, .n_head_kv = 5, .n_ff = 2560, .n_vocab = 4096})};
    GateGradients scores_ = gradients_of(model_.architecture(), mixed_scores(model_.architecture()));
};

TEST_F(FitRagged, PadsWhereOnlyWideTypesFit) {
    const Recipe recipe = optimal(bytes_at(4.1), Align::kAuto);
    EXPECT_EQ(recipe.padding, (Padding{.width = 1024}));
    EXPECT_EQ(recipe.output_architecture, "llama");
    EXPECT_TRUE(recipe.stock);
    EXPECT_TRUE(recipe.alignment.starts_with("padded to width 1024: predicted KL ")) << recipe.alignment;
    EXPECT_NE(recipe.alignment.find("without padding nothing fits"), std::string::npos) << recipe.alignment;
    EXPECT_NE(recipe.assignment_for("model.layers.0.self_attn.q_proj.weight")->reason.find("padded 960 → 1024: "),
              std::string::npos);
    test::expect_error(ErrorKind::kInfeasible, {"smallest file"}, [&] { optimal(bytes_at(4.1), Align::kNone); });
}

TEST_F(FitRagged, KeepsTheAlignmentOfLeastDamageAndSaysBothNumbers) {
    for (const double bits : {4.7, 5.2, 6.5, 9.5}) {
        SCOPED_TRACE(bits);
        const Recipe chosen = optimal(bytes_at(bits), Align::kAuto);
        const double none = *optimal(bytes_at(bits), Align::kNone).predicted_kl;
        const double padded = *optimal(bytes_at(bits), Align::kPad).predicted_kl;
        // The words about it take some bytes of the file.
        EXPECT_LE(*chosen.predicted_kl, 1.001 * std::min(none, padded));
        EXPECT_NE(chosen.alignment.find("predicted KL "), std::string::npos) << chosen.alignment;
        EXPECT_EQ(chosen.padding.any(), chosen.alignment.starts_with("padded to ")) << chosen.alignment;
    }
    EXPECT_FALSE(optimal(bytes_at(9.5), Align::kAuto).padding.any()) << "8 bits need no wide types";
}

TEST_F(FitRagged, CountsPaddingInTheMemoryAtRunTime) {
    const Recipe plain = optimal(bytes_at(9.5), Align::kNone), padded = optimal(bytes_at(9.5), Align::kPad);
    EXPECT_EQ(padded.padding, (Padding{.width = 1024, .heads = 20}));
    EXPECT_EQ(padded.alignment, "padded to width 1024, heads 20, asked for by --align pad");
    EXPECT_EQ(padded.budget.kv_cache_max_bytes, plain.budget.kv_cache_max_bytes);
    EXPECT_GT(padded.budget.compute_bytes, plain.budget.compute_bytes);
    EXPECT_GT(padded.budget.norm_bytes, plain.budget.norm_bytes);
    EXPECT_EQ(padded.topology.parameter_reduction, 0);
}

TEST_F(FitRagged, TiersPadOnlyWhenAsked) {
    PlanGoal goal = file_of(bytes_at(6));
    EXPECT_FALSE(fit_to(model_, goal).padding.any());
    EXPECT_EQ(fit_to(model_, goal).alignment, "");
    goal.align = Align::kPad;
    const Recipe padded = fit_to(model_, goal, {PruneRequest::Kind::kOff});
    EXPECT_EQ(padded.padding, (Padding{.width = 1024, .heads = 20}));
    EXPECT_EQ(padded.budget.file_bytes, lay_out(model_, padded, {}).file.file_bytes());
}

TEST_F(FitRagged, PadsColumnsMatrixByMatrix) {
    for (const double bits : {4.1, 4.7, 5.2, 6.5}) {
        SCOPED_TRACE(bits);
        const Recipe columns = optimal(bytes_at(bits), Align::kColumns);
        EXPECT_TRUE(columns.pads_columns());
        EXPECT_FALSE(columns.padding.any());
        EXPECT_FALSE(columns.stock);
        EXPECT_NE(columns.stock_reason.find(" matrices have input columns of zeros"), std::string::npos);
        EXPECT_EQ(columns.alignment,
                  "rows are padded to whole blocks where a matrix' type wants it, asked for by --align columns");
        for (const QuantAssignment& line : columns.tensor_quant_map) {
            const bool is_padded = line.reason.find("padded 960 → 1024: 256-wide blocks") != std::string::npos;
            EXPECT_EQ(line.padded_columns, is_padded ? 1024 : 0) << line.pattern << ": " << line.reason;
        }
        const Recipe either = optimal(bytes_at(bits), Align::kAutoOwn);
        EXPECT_LE(*either.predicted_kl, 1.001 * *columns.predicted_kl);
        if (bits > 4.5) {
            EXPECT_LE(*columns.predicted_kl, *optimal(bytes_at(bits), Align::kNone).predicted_kl);
        }
    }
}

TEST_F(FitRagged, KeepsNarrowTypesBesidePaddedColumns) {
    const Recipe recipe = optimal(bytes_at(5.2), Align::kColumns);
    std::size_t padded = 0, narrow = 0;
    for (const OutputTensor& tensor : lay_out(model_, recipe, {}).tensors) {
        if (tensor.source->is_vector || tensor.source->cols != 960) continue;
        padded += tensor.n_cols() == 1024;
        narrow += ggml_blck_size(tensor.spec.type) == 32 && tensor.n_cols() == 960;
    }
    EXPECT_GT(padded, 0u);
    EXPECT_GT(narrow, 0u);
}

TEST_F(FitRagged, SaysWhatPaddedColumnsWouldGainOrDo) {
    const Recipe recipe = optimal(bytes_at(4.7), Align::kAutoOwn);
    EXPECT_NE(recipe.alignment.find("input columns padded, matrix by matrix"), std::string::npos) << recipe.alignment;
    EXPECT_NE(recipe.alignment.find(" without"), std::string::npos) << recipe.alignment;
    EXPECT_FALSE(recipe.stock);
}

/// 4.1 bits are fewer than any 32-wide type has; 9 are enough for Q8_0 in rows as they are.
TEST_F(FitRagged, TiersPadColumnsWhereThatSavesBytes) {
    PlanGoal goal = file_of(bytes_at(4.1));
    goal.align = Align::kColumns;
    goal.require_stock = false;
    const Recipe small = fit_to(model_, goal, {PruneRequest::Kind::kOff});
    EXPECT_TRUE(small.pads_columns());
    EXPECT_FALSE(small.stock);
    EXPECT_EQ(small.budget.file_bytes, lay_out(model_, small, {}).file.file_bytes());
    goal.target_bytes = bytes_at(9);
    const Recipe large = fit_to(model_, goal, {PruneRequest::Kind::kOff});
    EXPECT_FALSE(large.pads_columns());
    EXPECT_TRUE(large.stock);
}

TEST_F(FitRagged, PadsColumnsForATypeThatIsAskedFor) {
    PlanGoal goal = file_of(bytes_at(9));
    goal.align = Align::kColumns;
    goal.require_stock = false;
    goal.overrides.push_back({NamePattern("attn_q"), GGML_TYPE_IQ3_S});
    const Recipe recipe = fit_to(model_, goal, {PruneRequest::Kind::kOff});
    const QuantAssignment* query = recipe.assignment_for("model.layers.0.self_attn.q_proj.weight");
    EXPECT_EQ(query->type, GGML_TYPE_IQ3_S);
    EXPECT_EQ(query->padded_columns, 1024);
}

TEST(Fit, ModelsOfWholeBlocksStayStockWhereColumnsMayBePadded) {
    const SyntheticModel model(shape());
    PlanGoal goal = file_of(6'000'000);
    goal.align = Align::kColumns;
    goal.require_stock = false;
    const Recipe recipe = fit_to(model, goal, {PruneRequest::Kind::kOff});
    EXPECT_TRUE(recipe.stock);
    EXPECT_FALSE(recipe.pads_columns());
}

TEST_F(FitRagged, PadsForATypeThatIsAskedFor) {
    PlanGoal goal = file_of(bytes_at(9));
    goal.overrides.push_back({NamePattern("attn_q"), GGML_TYPE_Q4_K});
    goal.prune.kind = PruneRequest::Kind::kOff;
    goal.context_length = 1024;
    goal.kv_type_name = "f16";
    const MeasuredDamage damage = synthetic_damage(model_, goal, 1);
    const Recipe recipe = fit({.model = model_, .scores = scores_, .goal = goal, .damage = &damage},
                              HeadPruning(model_.architecture(), scores_.layer_scores()));
    EXPECT_EQ(recipe.padding.width, 1024);
    EXPECT_EQ(recipe.assignment_for("model.layers.0.self_attn.q_proj.weight")->type, GGML_TYPE_Q4_K);
}

/// With two KV groups none may go by itself: only all attention of a block frees KV cache, here nearly all of memory.
TEST(Fit, GivesUpAttentionOfBlocksWhereTheKvCacheTakesMost) {
    const SyntheticModel model(shape({.n_head_kv = 2}));
    const GateGradients scores = gradients_of(model.architecture(), mixed_scores(model.architecture()));
    PlanGoal goal;
    goal.device = Device{.label = "test", .memory_bytes = 1'000'000'000, .reserved_bytes = 0};
    goal.context_length = 32768;
    goal.kv_type_name = "f16";
    const auto planned = [&](double of_a_head) {
        const MeasuredDamage damage = synthetic_damage(model, goal, of_a_head);
        return fit({.model = model, .scores = scores, .goal = goal, .damage = &damage},
                   HeadPruning(model.architecture(), scores.layer_scores()));
    };
    const Budget ample = planned(1).budget;
    ASSERT_GT(ample.kv_cache_max_bytes, 4 * ample.attention_bytes);
    goal.device->memory_bytes = ample.total_bytes - ample.kv_cache_max_bytes / 3;
    const Recipe recipe = planned(1e-9);
    const auto without = std::ranges::count_if(recipe.topology.layers, [](const LayerTopology& layer) {
        return layer.num_heads == 0 && layer.retained_kv_head_indices.empty();
    });
    EXPECT_EQ(without, 2) << "of 4";
    EXPECT_EQ(recipe.budget.kv_cache_max_bytes, ample.kv_cache_max_bytes / 2);
    EXPECT_LE(recipe.budget.total_bytes, goal.device->memory_bytes);
    EXPECT_EQ(recipe.output_architecture, "deci");
    EXPECT_TRUE(recipe.stock);
    EXPECT_EQ(lay_out(model, recipe, {}).file.file_bytes(), recipe.budget.file_bytes);
    EXPECT_EQ(recipe_from_json(recipe_to_json(recipe), "text"), recipe);
    goal.prune.kind = PruneRequest::Kind::kOff;
    test::expect_error(ErrorKind::kInfeasible, {"run-time memory"}, [&] { planned(1e-9); });
}

/// 384 columns of o have no type of 256-wide blocks; 256 have again.
TEST(Fit, LooksBeyondTheFirstHeadsThatDoNotPay) {
    const SyntheticModel model(shape({.n_head_kv = 2}));
    const std::vector<double> useless_halves{0.1, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.9};
    const GateGradients scores =
        gradients_of(model.architecture(), std::vector(model.architecture().layers.size(), useless_halves));
    PlanGoal goal = file_of(6'000'000);
    goal.context_length = 1024;
    goal.kv_type_name = "f16";
    goal.overrides.push_back({NamePattern("attn_output"), GGML_TYPE_Q4_K});
    MeasuredDamage damage = synthetic_damage(model, goal, 1);
    for (std::vector<double>& heads : damage.heads)
        for (std::size_t head = 0; head < heads.size(); ++head) heads[head] = useless_halves[head] < 0.5 ? 1e-12 : 1;
    const Recipe recipe = fit({.model = model, .scores = scores, .goal = goal, .damage = &damage},
                              HeadPruning(model.architecture(), scores.layer_scores()));
    for (const LayerTopology& layer : recipe.topology.layers)
        EXPECT_EQ(layer.retained_head_indices, (std::vector<std::int32_t>{2, 3, 6, 7})) << layer.layer_index;
}

TEST(MeasuredDamage, OfWhatGoesIsTwiceTheSumLessWhatOthersTakeOver) {
    const Architecture architecture = shape({.n_layer = 2, .n_head = 4, .n_head_kv = 2});
    HeadPruning heads(architecture, {{1, 2, 3, 4}, {4, 3, 2, 1}});
    MeasuredDamage damage{.types = {}, .heads = {{1, 10, 100, 1000}, {5, 50, 500, 5000}}};
    EXPECT_EQ(damage.of_removed(heads), 0);
    LayerHeads of_layer = heads.layers()[0];
    of_layer.remove({.layer = 0, .group = std::nullopt, .heads = 2, .cost = 0});  // heads 0 and 2
    EXPECT_EQ(damage.of_removed(0, of_layer), 2 * 101);
    damage.compensation = {{.heads = {0.5, 1, 0.25, 1}, .groups = {0.125, 1}}, {}};
    EXPECT_EQ(damage.of_removed(0, of_layer), 2 * (0.5 + 25));
    of_layer = heads.layers()[0];
    of_layer.remove({.layer = 0, .group = 0, .heads = 2, .cost = 0});
    EXPECT_EQ(damage.of_removed(0, of_layer), 2 * 11 * 0.125) << "together";
    of_layer.remove({.layer = 0, .group = std::nullopt, .heads = 2, .cost = 0, .is_everything = true});
    EXPECT_EQ(damage.of_removed(0, of_layer), 2 * 1111) << "nobody is left";
    of_layer = heads.layers()[1];
    of_layer.remove({.layer = 1, .group = 1, .heads = 2, .cost = 0});
    EXPECT_EQ(damage.of_removed(1, of_layer), 2 * 5500) << "nothing is known of this block";
}

// The shape of a 70B model, whose recipe has some 560 lines.
TEST(Fit, SpendsEveryByteOfALargeModelWhereItSavesMost) {
    const SyntheticModel model(shape({.n_layer = 80,
                                      .n_embd = 8192,
                                      .n_head = 64,
                                      .n_head_kv = 8,
                                      .head_dim = 128,
                                      .n_ff = 28672,
                                      .n_vocab = 128256,
                                      .tied = false}));
    const GateGradients scores = gradients_of(model.architecture(), mixed_scores(model.architecture()));
    PlanGoal goal = file_of(38'000'000'000);
    goal.context_length = 4096;
    goal.kv_type_name = "f16";
    const MeasuredDamage damage = synthetic_damage(model, goal, 1);
    const Recipe recipe = fit({.model = model, .scores = scores, .goal = goal, .damage = &damage},
                              HeadPruning(model.architecture(), scores.layer_scores()));
    EXPECT_FALSE(recipe.prunes());
    EXPECT_LE(recipe.budget.file_bytes, 38'000'000'000u);
    EXPECT_GT(recipe.budget.file_bytes, 37'990'000'000u);

    PlanGoal uniform = goal;
    uniform.target_bytes = 1'000'000'000'000;
    uniform.overrides.push_back({NamePattern(".*"), GGML_TYPE_IQ4_XS});  // 37.5 GB
    const MeasuredDamage of_uniform = synthetic_damage(model, uniform, 1);
    const Recipe plain = fit({.model = model, .scores = scores, .goal = uniform, .damage = &of_uniform},
                             HeadPruning(model.architecture(), scores.layer_scores()));
    EXPECT_GT(plain.budget.file_bytes, 37'000'000'000u);
    EXPECT_LT(*recipe.predicted_kl, 0.8 * *plain.predicted_kl);
}

}  // namespace
}  // namespace plasticity
