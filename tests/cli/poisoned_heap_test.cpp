// Memory that was never written must not reach an output: not by tensors that claim to go on beyond their file
// (CVE-2026-7482 of Ollama: the heap behind the file was quantised and exported), and not by padding.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "support/file_content.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "support/tiny_recipe.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

/// glibc fills what malloc hands out with the complement of this, and what free gets back with this.
constexpr int kPoison = 0xA5;
constexpr char kFresh = '\x5A', kFreed = '\xA5';

class PoisonedHeap : public testing::Test {
protected:
    PoisonedHeap() {
        const auto model = open_model(test::write_tiny_gguf(model_, {.head_dim = 16, .n_ff = 64}));
        save_recipe(test::tiny_recipe(*model, {.kept_heads = {{0, 1, 2, 3}, {2, 3}}, .type = GGML_TYPE_Q4_0}), recipe_,
                    Overwrite::kReplace);
        set_poison(kPoison);
    }
    ~PoisonedHeap() override {
        unsetenv("MALLOC_PERTURB_");
        unsetenv("GLIBC_TUNABLES");
        unsetenv("ASAN_OPTIONS");
    }

    /// For processes that start from now on. The sanitizer's allocator takes the place of glibc's where it is built in.
    static void set_poison(int byte) {
        setenv("MALLOC_PERTURB_", std::to_string(byte).c_str(), 1);
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);  // what it keeps back is not filled again
        const std::string options = "max_malloc_fill_size=1000000000:malloc_fill_byte=" + std::to_string(byte ^ 0xff);
        setenv("ASAN_OPTIONS", options.c_str(), 1);
    }

    test::Finished run(const Arguments& arguments) const { return test::run_program(arguments, scratch_.path()); }

    /// Every command that makes an output of a model.
    std::vector<Arguments> makers(const fs::path& model, const std::string& out) const {
        return {{"compress", model.string(), "--recipe", recipe_.string(), "-o", out, "-t", "2"},
                {"export", model.string(), "--format", "gguf", "-o", out},
                {"export", model.string(), "--format", "hf", "-o", out}};
    }

    /// No file but the inputs, and none of them with a run of poison.
    void expect_refused(const fs::path& model) {
        const std::string out = (dir_ / "out").string();
        std::vector<Arguments> commands = makers(model, out);
        commands.push_back({"inspect", model.string(), "--json"});
        for (const Arguments& arguments : commands) {
            SCOPED_TRACE(arguments.front());
            const test::Finished finished = run(arguments);
            EXPECT_EQ(finished.exit_code, 4) << finished.err;
            EXPECT_EQ(finished.out, "");
            EXPECT_FALSE(fs::exists(out));
            for (const auto& entry : fs::recursive_directory_iterator(dir_.path()))
                EXPECT_FALSE(entry.path().filename().string().ends_with(".partial")) << entry.path();
            for (const char poison : {kFresh, kFreed})
                EXPECT_EQ(finished.err.find(std::string(8, poison)), std::string::npos) << "heap in the message";
        }
    }

    test::TempDir dir_, scratch_;
    fs::path model_ = dir_ / "model.gguf", recipe_ = dir_ / "recipe.json";
};

/// Where a tensor's info says that its data lie, counted from the start of the data.
void patch_offset(const fs::path& path, const std::string& tensor, std::uint64_t offset) {
    const std::string bytes = test::read_bytes(path);
    const std::size_t after_name = bytes.find(tensor) + tensor.size();
    std::uint32_t n_dims = 0;
    std::copy_n(bytes.data() + after_name, sizeof n_dims, reinterpret_cast<char*>(&n_dims));
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<std::streamoff>(after_name + 4 + 8 * n_dims + 4))
        .write(reinterpret_cast<const char*>(&offset), sizeof offset);
}

TEST_F(PoisonedHeap, GgufTensorsBeyondTheFileAreRefused) {
    fs::resize_file(model_, fs::file_size(model_) - 100);
    expect_refused(model_);
}

TEST_F(PoisonedHeap, GgufOffsetsBeyondTheFileAreRefused) {
    const std::uint64_t size = fs::file_size(model_);
    for (const std::uint64_t offset : {size / 32 * 32, std::uint64_t{1} << 40, ~std::uint64_t{31}}) {
        patch_offset(model_, "blk.1.ffn_down.weight", offset);
        expect_refused(model_);
    }
}

TEST_F(PoisonedHeap, SafetensorsBeyondTheFileAreRefused) {
    const fs::path folder = dir_ / "folder", weights = folder / "model.safetensors";
    ASSERT_EQ(run({"export", model_.string(), "--format", "hf", "-o", folder.string()}).exit_code, 0);
    const std::string whole = test::read_bytes(weights);
    fs::resize_file(weights, whole.size() - 100);
    expect_refused(folder);

    // The last tensor's end moved on by 4 KiB, its shape with it.
    std::string patched = whole;
    const std::string key = "\"data_offsets\":[";
    std::size_t last = 0, at = patched.find(key);
    std::uint64_t end = 0;
    for (; at != std::string::npos; at = patched.find(key, at + 1)) {
        const std::size_t comma = patched.find(',', at);
        const std::uint64_t this_end = std::stoull(patched.substr(comma + 1));
        if (this_end >= end) end = this_end, last = comma + 1;
    }
    const std::string old_end = std::to_string(end), new_end = std::to_string(end + 4096);
    ASSERT_EQ(old_end.size(), new_end.size()) << "the header's length would change";
    patched.replace(last, old_end.size(), new_end);
    std::ofstream(weights, std::ios::binary) << patched;
    expect_refused(folder);
}

/// Eight bytes of fresh memory, as a process that starts with the poison in its environment finds them.
[[noreturn]] void exit_by_fresh_memory() {
    const std::unique_ptr<volatile char[]> fresh(new volatile char[64]);
    std::exit(std::all_of(fresh.get() + 16, fresh.get() + 24, [](char byte) { return byte == kFresh; }) ? 42 : 1);
}

TEST_F(PoisonedHeap, IsPoisoned) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // starts the process anew
    EXPECT_EXIT(exit_by_fresh_memory(), testing::ExitedWithCode(42), "");
}

/// A byte taken from the heap would differ between two poisons.
TEST_F(PoisonedHeap, OutputsHoldNothingOfIt) {
    std::vector<std::string> outputs;
    for (const int poison : {kPoison, 0x3C}) {
        set_poison(poison);
        const fs::path folder = dir_ / std::to_string(poison);
        fs::create_directory(folder);
        int number = 0;
        for (const Arguments& arguments : makers(model_, "")) {
            Arguments command = arguments;
            *std::find(command.begin(), command.end(), "") = (folder / std::to_string(number++)).string();
            const test::Finished finished = run(command);
            ASSERT_EQ(finished.exit_code, 0) << finished.err;
        }
        std::vector<fs::path> files;
        for (const auto& entry : fs::recursive_directory_iterator(folder))
            if (entry.is_regular_file()) files.push_back(entry.path());
        std::sort(files.begin(), files.end());
        std::string& all = outputs.emplace_back();
        for (const fs::path& file : files) all += test::read_bytes(file);
    }
    EXPECT_GT(outputs[0].size(), 100'000u);
    EXPECT_TRUE(outputs[0] == outputs[1]) << "an output depends on memory that was never written";
}

}  // namespace
}  // namespace plasticity
