// Gradients of norms, biases and row scales, and of the divergence from a teacher, against slopes of the loss.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "engine/backpropagation.h"
#include "engine/divergence.h"
#include "engine/engine_support.h"
#include "support/reference_model.h"

namespace plasticity {
namespace {

using test::quiet;

using Gradients = std::map<std::string, std::vector<double>>;

Example example_from(std::span<const std::int32_t> tokens) {
    return {.tokens = {tokens.begin(), tokens.end()}, .targets = std::vector<std::uint8_t>(tokens.size(), 1)};
}

/// Logits that follow from the position alone.
TeacherLogits wave(std::int32_t n_vocab) {
    return [n_vocab](std::int64_t first, std::int64_t n, std::vector<float>& logits) {
        logits.clear();
        for (std::int64_t row = first; row < first + n; ++row)
            for (std::int32_t id = 0; id < n_vocab; ++id)
                logits.push_back(2 * std::sin(0.7f * static_cast<float>(row) + 1.3f * static_cast<float>(id)));
    };
}

/// Row scales of every matrix of a model's blocks, all different.
RowScales uneven_scales(const Model& model) {
    RowScales scales;
    for (const ModelTensor& tensor : model.tensors()) {
        if (tensor.id.layer < 0 || !is_matrix(tensor.id)) continue;
        std::vector<float> values = test::uniform_stream(tensor.name, static_cast<std::size_t>(tensor.rows));
        for (float& value : values) value = 1 + 0.2f * value;
        scales.push_back({tensor.id, values});
    }
    return scales;
}

class VectorGradients : public testing::TestWithParam<const char*> {
protected:
    VectorGradients()
        : reference_(test::load_reference(GetParam())),
          model_(open_model(write_reference_folder(dir_ / "hf", reference_))),
          engine_(load()),
          scales_(uneven_scales(*model_)),
          example_(example_from(reference_.tokens)),
          teacher_(wave(model_->architecture().n_vocab)),
          visit_{.example = &example_, .teacher = &teacher_} {
        engine_.use_row_scales(&scales_);
    }

    Backpropagation load() const { return {*model_, {.precision = WeightPrecision::kF32, .threads = 1}, quiet()}; }

    Gradients gradients_of(Backpropagation& engine) const {
        Gradients found;
        const VectorObserver observer = [&](const TensorId& id, std::span<const double> gradient) {
            EXPECT_TRUE(found.emplace(gguf_name(id), std::vector(gradient.begin(), gradient.end())).second);
        };
        engine.sweep(std::span(&visit_, 1),
                     {.activations = {}, .curvature = {}, .vectors = observer, .progressed = {}});
        return found;
    }

    double loss() { return engine_.losses(std::span(&visit_, 1)).front(); }

    /// The loss with one entry moved.
    double loss_at(const TensorId& id, std::size_t at, float offset) {
        if (const auto scaled = std::ranges::find(scales_, id, &ScaledMatrix::id); scaled != scales_.end()) {
            const float before = std::exchange(scaled->scales[at], scaled->scales[at] + offset);
            const double moved = loss();
            scaled->scales[at] = before;
            return moved;
        }
        std::vector<float> values = test::all_values(*model_, id);
        const float before = std::exchange(values[at], values[at] + offset);
        engine_.set_vector(id, values);
        const double moved = loss();
        values[at] = before;
        engine_.set_vector(id, values);
        return moved;
    }

    /// By a five-point stencil, as in backpropagation_test.
    double slope(const TensorId& id, std::size_t at) {
        constexpr float kStep = 1.0f / 16;
        const double near = loss_at(id, at, kStep) - loss_at(id, at, -kStep);
        const double far = loss_at(id, at, 2 * kStep) - loss_at(id, at, -2 * kStep);
        return (8 * near - far) / (12 * double{kStep});
    }

    test::TempDir dir_;
    test::ReferenceModel reference_;
    std::unique_ptr<Model> model_;
    Backpropagation engine_;
    RowScales scales_;
    Example example_;
    TeacherLogits teacher_;
    Visit visit_;
};

TEST_P(VectorGradients, AreSlopesOfTheDivergence) {
    const Gradients gradients = gradients_of(engine_);
    std::size_t n_vectors = 0;
    for (const ModelTensor& tensor : model_->tensors()) {
        const bool is_scaled = tensor.id.layer >= 0 && is_matrix(tensor.id);
        if (!is_scaled && !(tensor.is_vector && (tensor.id.is_bias || is_norm(tensor.id.role)))) continue;
        ++n_vectors;
        ASSERT_TRUE(gradients.contains(tensor.name)) << tensor.name;
        const std::vector<double>& found = gradients.at(tensor.name);
        ASSERT_EQ(std::ssize(found), is_scaled ? tensor.rows : tensor.cols) << tensor.name;
        const auto largest = std::ranges::max_element(found, {}, [](double g) { return std::fabs(g); });
        const auto at = static_cast<std::size_t>(largest - found.begin());
        // A key's bias moves all scores of a query alike where nothing rotates it, and then nothing.
        EXPECT_NEAR(*largest, slope(tensor.id, at), 2e-3 * std::fabs(*largest) + 2e-6) << tensor.name << " " << at;
        EXPECT_NEAR(found[0], slope(tensor.id, 0), 2e-3 * std::fabs(*largest) + 2e-6) << tensor.name << " 0";
    }
    EXPECT_EQ(gradients.size(), n_vectors);
}

TEST_P(VectorGradients, AreTheSameWhereForwardPassesAreComputedAgain) {
    const Gradients kept = gradients_of(engine_);
    Backpropagation again = load();
    again.use_row_scales(&scales_);
    const Visit twice[] = {visit_, visit_};  // two under way: nothing is kept
    Gradients sums;
    again.sweep(twice, {.activations = {},
                        .curvature = {},
                        .vectors =
                            [&](const TensorId& id, std::span<const double> gradient) {
                                std::vector<double>& sum = sums[gguf_name(id)];
                                sum.resize(gradient.size());
                                std::ranges::transform(sum, gradient, sum.begin(), std::plus());
                            },
                        .progressed = {}});
    ASSERT_EQ(sums.size(), kept.size());
    for (const auto& [name, values] : kept)
        for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(sums.at(name)[i], 2 * values[i]) << name;
}

TEST_P(VectorGradients, AFactorOfOneChangesNothing) {
    RowScales ones = scales_;
    for (ScaledMatrix& matrix : ones) std::ranges::fill(matrix.scales, 1.0f);
    engine_.use_row_scales(&ones);
    const double with_ones = loss();
    engine_.use_row_scales(nullptr);
    EXPECT_EQ(with_ones, loss());
    engine_.use_row_scales(&scales_);
    EXPECT_NE(with_ones, loss());
}

INSTANTIATE_TEST_SUITE_P(Reference, VectorGradients, testing::Values("llama", "qwen2", "qwen3", "gemma3", "phi3"));

class Divergence : public testing::Test {
protected:
    Divergence()
        : model_(open_model(test::write_tiny_gguf(dir_ / "tiny.gguf"))),
          engine_(*model_, {.precision = WeightPrecision::kF32, .threads = 1}, quiet()) {}

    test::TempDir dir_;
    std::unique_ptr<Model> model_;
    Backpropagation engine_;
    Example example_ = example_from(test::scattered_tokens(150));  // two blocks of positions
};

TEST_F(Divergence, OfAModelFromItselfIsNothing) {
    Decoder decoder(*model_, {.context_length = 150, .exact = true, .threads = 1}, quiet());
    const auto rows = test::logits_of(decoder, example_.tokens, 150);
    const TeacherLogits itself = [&](std::int64_t first, std::int64_t n, std::vector<float>& logits) {
        logits.clear();
        for (std::int64_t row = first; row < first + n; ++row)
            logits.insert(logits.end(), rows[static_cast<std::size_t>(row)].begin(),
                          rows[static_cast<std::size_t>(row)].end());
    };
    const Visit visit{.example = &example_, .teacher = &itself};
    EXPECT_NEAR(engine_.losses(std::span(&visit, 1)).front(), 0, 1e-8);
}

TEST_F(Divergence, IsTheDefinitionWhereTokensAreTargets) {
    for (std::size_t i = 0; i < example_.targets.size(); ++i) example_.targets[i] = i % 4 == 1;
    const TeacherLogits teacher = wave(model_->architecture().n_vocab);
    const Visit visit{.example = &example_, .teacher = &teacher};
    Decoder decoder(*model_, {.context_length = 150, .exact = true, .threads = 1}, quiet());
    const auto rows = test::logits_of(decoder, example_.tokens, 150);
    double sum = 0;
    std::vector<float> logits;
    for (std::size_t i = 0; i + 1 < rows.size(); ++i) {
        if (example_.targets[i + 1] == 0) continue;
        teacher(static_cast<std::int64_t>(i), 1, logits);
        sum += kl_divergence(logits, rows[i]);
    }
    EXPECT_NEAR(engine_.losses(std::span(&visit, 1)).front(), sum / static_cast<double>(example_.n_targets()), 1e-5);
}

TEST_F(Divergence, AVectorMustBeTheModels) {
    const std::vector<float> some(32, 1.0f);
    EXPECT_NO_THROW(engine_.set_vector({TensorRole::kOutputNorm}, some));
    EXPECT_THROW(engine_.set_vector({TensorRole::kOutputNorm}, std::span(some).first(31)), Error);
    EXPECT_THROW(engine_.set_vector({TensorRole::kQuery, 0, true}, some), Error);  // a llama has no biases
    EXPECT_THROW(engine_.set_vector({TensorRole::kQuery, 0}, some), Error);
}

}  // namespace
}  // namespace plasticity
