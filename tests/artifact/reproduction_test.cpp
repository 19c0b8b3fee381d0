#include "artifact/reproduction.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/hash.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

Reproduction tiny_reproduction() {
    const FileDigest file{"a", 3, sha256_hex("abc")};
    return {.program_version = "0.1.0",
            .llama_cpp = "1",
            .processor = "CPU",
            .command = "plasticity run a --data b -o out",
            .model = "a",
            .model_files = {file},
            .tokenizer_sha256 = sha256_hex("tokens"),
            .data = {"b", "c"},
            .calibration = {file, file},
            .options = {{"--target-size", {"90MB"}}, {"--tensor-type", {"q=Q8_0", "k=Q4_K"}}},
            .artifacts = {file},
            .output = file};
}

std::string replaced(const std::string& from, const std::string& to) {
    std::string text = reproduction_to_json(tiny_reproduction());
    text.replace(text.find(from), from.size(), to);
    return text;
}

TEST(ReproductionFile, ReadsBackAsWritten) {
    const std::string text = reproduction_to_json(tiny_reproduction());
    const Reproduction read = reproduction_from_json(text, "reproduce.json");
    EXPECT_EQ(reproduction_to_json(read), text);
    EXPECT_EQ(read.options, tiny_reproduction().options);
    EXPECT_EQ(read.output, tiny_reproduction().output);
}

TEST(ReproductionFile, RefusesWhatIsNone) {
    for (const auto& [from, to] : {std::pair{"\"sha256\": \"ba", "\"sha256\": \"BA"},
                                   {"\"bytes\": 3", "\"bytes\": -3"},
                                   {"\"schemaVersion\": 1", "\"schemaVersion\": 2"},
                                   {"\"command\"", "\"kommando\""},
                                   {"[\"90MB\"]", "\"90MB\""},
                                   {"[\"90MB\"]", "[90]"},
                                   {"\"data\": [\"b\", \"c\"]", "\"data\": {}"}})
        test::expect_error(ErrorKind::kMalformed, {"reproduce.json"},
                           [&] { reproduction_from_json(replaced(from, to), "reproduce.json"); });
}

TEST(ReproductionFile, DigestsAreOfTheContent) {
    const test::TempDir dir;
    std::ofstream(dir / "file") << "abc";
    EXPECT_EQ(digest_of(dir / "file"), (FileDigest{"file", 3, sha256_hex("abc")}));
    EXPECT_TRUE(digest_of(dir / "file").same_content({"other name", 3, sha256_hex("abc")}));
    test::expect_error(ErrorKind::kMissing, {"none"}, [&] { digest_of(dir / "none"); });
}

}  // namespace
}  // namespace plasticity
