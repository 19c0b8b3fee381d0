// Whatever is named as an input may be a pipe, a device or a folder: refused at once, never waited for.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>

#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class SpecialFiles : public testing::Test {
protected:
    SpecialFiles() {
        const auto model = open_model(test::write_tiny_gguf(dir_ / "model.gguf"));
        save_recipe(test::tiny_recipe(*model), dir_ / "recipe.json", Overwrite::kReplace);
        std::ofstream(dir_ / "data.txt") << "in the inner ring of the water";
        fs::create_directory(dir_ / "empty");
    }

    /// Each input of each command in turn. A reader that waits would let the test time out.
    std::vector<Arguments> commands_with(const std::string& input) const {
        const std::string model = (dir_ / "model.gguf").string(), out = (dir_ / "out").string();
        const std::string recipe = (dir_ / "recipe.json").string(), data = (dir_ / "data.txt").string();
        return {{"inspect", input},
                {"score", input, "--data", data, "-o", out},
                {"score", model, "--data", input, "-o", out},
                {"plan", model, "--scores", input, "--device", "16gb", "-o", out},
                {"compress", input, "--recipe", recipe, "-o", out},
                {"compress", model, "--recipe", input, "-o", out},
                {"compress", model, "--recipe", recipe, "--stats", input, "-o", out},
                {"heal", input, "--base", model, "--data", data, "-o", out},
                {"heal", model, "--base", input, "--data", data, "-o", out},
                {"heal", model, "--base", model, "--data", input, "-o", out},
                {"verify", input},
                {"infer", input, "-p", "in"},
                {"eval", model, "--data", input},
                {"export", input, "--format", "hf", "-o", out}};
    }

    void expect_refused(const std::string& input, const std::function<bool(int)>& is_expected) {
        for (const Arguments& arguments : commands_with(input)) {
            std::string command;
            for (const std::string& argument : arguments) command += argument + " ";
            const test::Finished finished = test::run_program(arguments, scratch_.path());
            EXPECT_TRUE(is_expected(finished.exit_code)) << command << "ended with " << finished.exit_code << "\n"
                                                         << finished.err;
            EXPECT_EQ(finished.out, "") << command;
            EXPECT_NE(finished.err.find(fs::path(input).filename().string()), std::string::npos) << finished.err;
            EXPECT_FALSE(fs::exists(dir_ / "out")) << command;
        }
    }

    test::TempDir dir_, scratch_;
};

constexpr int kMissing = 3, kMalformed = 4, kUsage = 2;

TEST_F(SpecialFiles, FifosAreRefusedWithoutWaiting) {
    const std::string fifo = (dir_ / "fifo.gguf").string();
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    expect_refused(fifo, [](int code) { return code == kMalformed; });
}

TEST_F(SpecialFiles, DevicesAreRefused) {
    for (const char* device : {"/dev/null", "/dev/zero"})
        expect_refused(device, [](int code) { return code == kMalformed; });
}

/// An empty folder is neither a model (an input of it is missing) nor data (a question of usage), and no file.
TEST_F(SpecialFiles, FoldersAreRefused) {
    expect_refused((dir_ / "empty").string(),
                   [](int code) { return code == kMalformed || code == kMissing || code == kUsage; });
}

TEST_F(SpecialFiles, FifosInAModelsFolderAreRefusedWithoutWaiting) {
    const fs::path folder = dir_ / "folder";
    ASSERT_EQ(test::run_program({"export", (dir_ / "model.gguf").string(), "--format", "hf", "-o", folder.string()},
                                scratch_.path())
                  .exit_code,
              0);
    for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
                             "chat_template.jinja", "model.safetensors", "model.safetensors.index.json"}) {
        const fs::path kept = dir_ / "kept", file = folder / name;
        const bool was_there = fs::exists(file);
        if (was_there) fs::rename(file, kept);
        ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
        const test::Finished finished = test::run_program({"inspect", folder.string()}, scratch_.path());
        EXPECT_EQ(finished.exit_code, kMalformed) << name << ": " << finished.err;
        fs::remove(file);
        if (was_there) fs::rename(kept, file);
    }
}

}  // namespace
}  // namespace plasticity
