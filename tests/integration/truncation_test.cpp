// Real headers, cut everywhere: each cut is refused as malformed, at once and in little memory.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "core/error.h"
#include "integration/real_model.h"
#include "io/gguf_reader.h"
#include "io/gguf_writer.h"
#include "io/safetensors_reader.h"
#include "model/hf_export.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

/// The most that this process (RUSAGE_SELF) or one that it ran (RUSAGE_CHILDREN) ever held.
std::int64_t peak_memory_mib(int who) {
    rusage usage{};
    getrusage(who, &usage);
#ifdef __APPLE__
    return usage.ru_maxrss >> 20;
#else
    return usage.ru_maxrss >> 10;
#endif
}

std::string first_bytes(const fs::path& path, std::uint64_t n) {
    std::string bytes(static_cast<std::size_t>(n), '\0');
    std::ifstream(path, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(n));
    return bytes;
}

void write_bytes(const fs::path& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Up to the first tensor.
std::uint64_t header_bytes(const GgufReader& file) {
    std::uint64_t start = file.file().size();
    for (const GgufTensor& tensor : file.tensors()) start = std::min(start, tensor.offset);
    return start;
}

template <typename Read>
testing::AssertionResult is_malformed(const Read& read) {
    try {
        read();
        return testing::AssertionFailure() << "accepted";
    } catch (const Error& error) {
        if (error.kind() == ErrorKind::kMalformed) return testing::AssertionSuccess();
        return testing::AssertionFailure() << "refused as something else: " << error.what();
    } catch (const std::exception& other) {
        return testing::AssertionFailure() << "escaped: " << other.what();
    }
}

/// Reading a header costs its length, so that all cuts of a long one cost its square: a quarter of an hour of one
/// processor for that of SmolLM2, which PLASTICITY_TEST_EVERY_BYTE=1 asks for. Otherwise every byte of the first page,
/// every eleventh of the tensor infos at the end, in the tokenizer's arrays every 509th and those around each page's
/// start (primes: all positions within an entry come up).
bool is_tried(std::uint64_t length, std::uint64_t header) {
    static const bool every_byte = std::getenv("PLASTICITY_TEST_EVERY_BYTE") != nullptr;
    constexpr std::uint64_t kPage = 4096;
    const bool is_in_tensor_infos = length + 4 * kPage > header;
    return every_byte || length < kPage || length % (is_in_tensor_infos ? 11 : 509) == 0 || length % kPage == 0 ||
           length % kPage == kPage - 1;
}

/// Shrinking one copy costs less than writing many. @returns how many lengths were tried
std::int64_t cut_everywhere(const fs::path& cut, std::uint64_t header, bool (*wanted)(std::uint64_t, std::uint64_t)) {
    std::int64_t tried = 0;
    for (std::uint64_t length = header + 1; length-- > 0;) {
        if (!wanted(length, header)) continue;
        fs::resize_file(cut, length);
        const testing::AssertionResult refused = is_malformed([&] { GgufReader file(cut); });
        EXPECT_TRUE(refused) << "cut to " << length << " bytes";
        if (!refused) break;
        if (++tried % 100'000 == 0) std::cout << tried << " lengths, down to " << length << std::endl;
    }
    return tried;
}

TEST(TruncatedGguf, IsMalformedWhereverTheHeaderEnds) {
    const test::TempDir dir;
    const std::uint64_t header = header_bytes(GgufReader(test::smollm2()));
    const fs::path cut = dir / "cut.gguf";
    write_bytes(cut, first_bytes(test::smollm2(), header));
    const std::int64_t tried = cut_everywhere(cut, header, is_tried);
    EXPECT_GT(tried, 9'000);
    std::cout << "GGUF header of " << header << " bytes cut to " << tried << " lengths, each malformed; peak memory "
              << peak_memory_mib(RUSAGE_SELF) << " MiB\n";
    EXPECT_LT(peak_memory_mib(RUSAGE_SELF), 256);
}

/// Keys and tensor infos of `source`, the tensors zeros. @returns the header's length
std::uint64_t write_without_tokenizer(const GgufReader& source, const fs::path& target) {
    GgufLayout layout;
    for (const auto& [key, value] : source.metadata().entries())
        if (!key.starts_with("tokenizer.")) layout.metadata.set(key, value);
    for (const GgufTensor& tensor : source.tensors())
        layout.tensors.push_back({tensor.name, tensor.type, tensor.n_dims, tensor.dims});
    GgufWriter writer(target, layout, Overwrite::kRefuse);
    for (const GgufTensorSpec& tensor : layout.tensors)
        writer.write(tensor.name, std::vector<std::byte>(tensor.bytes()));
    writer.finish();
    return layout.header_bytes();
}

/// The same keys and tensor infos without the long arrays between them: every byte.
TEST(TruncatedGguf, IsMalformedAtEveryByteWithoutTokenizer) {
    const test::TempDir dir;
    const fs::path cut = dir / "cut.gguf";
    const std::uint64_t header = write_without_tokenizer(GgufReader(test::smollm2()), cut);
    const std::int64_t tried = cut_everywhere(cut, header, [](auto, auto) { return true; });
    EXPECT_EQ(tried, static_cast<std::int64_t>(header) + 1);
    std::cout << "GGUF header of " << header << " bytes cut at every byte\n";
}

TEST(TruncatedSafetensors, IsMalformedWhereverTheHeaderEnds) {
    const test::TempDir dir;
    export_hf(*open_model(test::smollm2()), {.folder = dir / "hf", .dtype = "bf16"}, test::quiet());
    const fs::path whole = dir / "hf/model.safetensors", cut = dir / "cut.safetensors";
    std::uint64_t json_bytes = 0;
    first_bytes(whole, sizeof json_bytes).copy(reinterpret_cast<char*>(&json_bytes), sizeof json_bytes);
    const std::uint64_t header = sizeof json_bytes + json_bytes;
    const std::string bytes = first_bytes(whole, header);
    write_bytes(cut, bytes);
    for (std::uint64_t length = header + 1; length-- > 0;) {  // at `header` the tensors' bytes are missing
        fs::resize_file(cut, length);
        ASSERT_TRUE(is_malformed([&] { SafetensorsReader file(cut); })) << "cut to " << length << " bytes";
    }

    // Again with a length that agrees, so that it is the JSON that ends; it is parsed up to there each time.
    const std::uint64_t step = std::getenv("PLASTICITY_TEST_EVERY_BYTE") != nullptr ? 1 : 11;
    std::int64_t parsed = 0;
    for (std::uint64_t json = 0; json < json_bytes; json += step, ++parsed) {
        std::string shortened = bytes.substr(0, sizeof json + json);
        shortened.replace(0, sizeof json, reinterpret_cast<const char*>(&json), sizeof json);
        write_bytes(cut, shortened);
        ASSERT_TRUE(is_malformed([&] { SafetensorsReader file(cut); })) << "JSON of " << json << " bytes";
    }
    std::cout << "safetensors header of " << header << " bytes cut at every byte, its JSON at " << parsed
              << "; peak memory " << peak_memory_mib(RUSAGE_SELF) << " MiB\n";
    EXPECT_LT(peak_memory_mib(RUSAGE_SELF), 256);
}

/// What the user meets: the exit code, one line, nothing on stdout.
TEST(TruncatedGguf, MakesTheProgramExitWithFour) {
    const test::TempDir dir, scratch;
    const std::uint64_t header = header_bytes(GgufReader(test::smollm2()));
    const fs::path cut = dir / "cut.gguf";
    write_bytes(cut, first_bytes(test::smollm2(), header));
    std::vector<std::uint64_t> lengths{header, header - 1, header - 31, header - 33};
    for (std::uint64_t page = header / 4096; page > 0; --page) lengths.push_back(page * 4096);
    for (std::uint64_t length = 40; length-- > 0;) lengths.push_back(length);
    for (const std::uint64_t length : lengths) {
        fs::resize_file(cut, length);
        const test::Finished finished = test::run_program({"inspect", cut.string(), "--json"}, scratch.path());
        ASSERT_EQ(finished.exit_code, 4) << length << " bytes: " << finished.err;
        ASSERT_EQ(finished.out, "");
        ASSERT_TRUE(finished.err.starts_with("plasticity: ")) << finished.err;
    }
    for (const std::uint64_t length : {header, header / 2, std::uint64_t{4096}, std::uint64_t{0}}) {
        write_bytes(cut, first_bytes(test::smollm2(), length));
        for (const char* format : {"gguf", "hf"}) {
            const auto out = (dir / "out").string();
            const test::Finished finished =
                test::run_program({"export", cut.string(), "--format", format, "-o", out}, scratch.path());
            EXPECT_EQ(finished.exit_code, 4) << finished.err;
            EXPECT_FALSE(fs::exists(out));
        }
    }
    std::cout << "inspect of " << lengths.size() << " truncated files: exit code 4 each; peak memory of a process "
              << peak_memory_mib(RUSAGE_CHILDREN) << " MiB\n";
    EXPECT_LT(peak_memory_mib(RUSAGE_CHILDREN), 256);
}

}  // namespace
}  // namespace plasticity
