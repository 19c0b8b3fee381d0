// Inputs that change under the reader: an error, and no output.

#include <gtest/gtest.h>

#include <chrono>

#include "core/error.h"
#include "core/progress.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "plasticity/compress.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// Does something to the input once the first of its bytes have been read.
class Meanwhile final : public Progress {
public:
    explicit Meanwhile(std::function<void()> act) : act_(std::move(act)) {}
    void begin(std::string_view, std::uint64_t, std::string_view) override {}
    void advance(std::uint64_t, std::string_view) override {
        if (act_) std::exchange(act_, nullptr)();
    }
    void end() override {}
    void note(std::string_view) override {}

private:
    std::function<void()> act_;
};

class ChangingInput : public testing::Test {
protected:
    fs::path fresh_model() const { return test::write_tiny_gguf(dir_ / "in.gguf", {.n_layer = 4, .n_ff = 64}); }

    std::vector<std::function<void(Progress&)>> makers() const {
        const fs::path model = dir_ / "in.gguf";
        return {[=, this](Progress& progress) {
                    const Recipe recipe = test::tiny_recipe(*open_model(model));
                    compress({.model = model, .output = dir_ / "out", .threads = 1}, recipe, progress);
                },
                [=, this](Progress& progress) {
                    export_gguf(*open_model(model), {.file = dir_ / "out", .type = "f16"}, progress);
                },
                [=, this](Progress& progress) { export_hf(*open_model(model), {.folder = dir_ / "out"}, progress); }};
    }

    void expect_no_output(const std::function<void()>& change) {
        for (const auto& make : makers()) {
            fresh_model();
            Meanwhile progress(change);
            try {
                make(progress);
                ADD_FAILURE() << "the change went unnoticed";
            } catch (const Error& error) {
                EXPECT_EQ(error.kind(), ErrorKind::kIo) << error.what();
                EXPECT_NE(std::string_view(error.what()).find("in.gguf"), std::string_view::npos) << error.what();
            }
            EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()), 1);
        }
    }

    test::TempDir dir_;
};

TEST_F(ChangingInput, ThatShrinksLeavesNoOutput) {
    expect_no_output([this] { fs::resize_file(dir_ / "in.gguf", 4096); });
}

TEST_F(ChangingInput, ThatIsEmptiedLeavesNoOutput) {
    expect_no_output([this] { fs::resize_file(dir_ / "in.gguf", 0); });
}

TEST_F(ChangingInput, ThatIsWrittenToLeavesNoOutput) {
    expect_no_output(
        [this] { fs::last_write_time(dir_ / "in.gguf", fs::file_time_type::clock::now() + std::chrono::hours(1)); });
}

}  // namespace
}  // namespace plasticity
