#include "core/hash.h"

#include <gtest/gtest.h>

#include <fstream>
#include <utility>

#include "core/error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

// FIPS 180-4's own examples.
constexpr const char* kOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr const char* kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kOfAMillionA = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

TEST(Sha256, KnownAnswers) {
    EXPECT_EQ(sha256_hex(""), kOfNothing);
    EXPECT_EQ(sha256_hex("abc"), kOfAbc);
    EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')), kOfAMillionA);
}

TEST(Sha256, InBase64) {
    EXPECT_EQ(sha256_base64(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

TEST(Sha256, ACopyGoesOnFromTheSameBytes) {
    Sha256 hash;
    hash.update("a");
    Sha256 copy(hash), assigned;
    assigned.update("something else");
    assigned = copy;
    EXPECT_EQ(copy.finish(), sha256_hex("a"));
    for (Sha256* each : {&hash, &assigned}) {
        each->update("bc");
        EXPECT_EQ(each->finish(), kOfAbc);
    }
    EXPECT_THROW(Sha256{copy}, Error) << "it is spent";
}

TEST(Sha256, PiecesMakeTheSameHash) {
    Sha256 hash;
    for (int i = 0; i < 1000; ++i) hash.update(std::string(1000, 'a'));
    Sha256 moved = std::move(hash);
    EXPECT_EQ(moved.finish(), kOfAMillionA);
}

TEST(Sha256, IsSpentAfterwards) {
    Sha256 hash;
    hash.finish();
    EXPECT_THROW(hash.update("more"), Error);
    EXPECT_THROW(hash.finish(), Error);
}

TEST(Sha256OfFile, ReadsTheWholeFile) {
    const test::TempDir dir;
    std::ofstream(dir / "f") << std::string(1'000'000, 'a');
    std::ofstream(dir / "large") << std::string((1 << 20) + 1, 'x');
    EXPECT_EQ(sha256_of_file(dir / "f"), kOfAMillionA);
    EXPECT_EQ(sha256_of_file(dir / "large"), sha256_hex(std::string((1 << 20) + 1, 'x')));
}

TEST(Sha256OfFile, SaysWhatIsWrong) {
    const test::TempDir dir;
    const auto kind_of = [](const std::filesystem::path& path) {
        try {
            sha256_of_file(path);
        } catch (const Error& error) {
            return static_cast<int>(error.kind());
        }
        return 0;
    };
    EXPECT_EQ(kind_of(dir / "absent"), static_cast<int>(ErrorKind::kMissing));
    EXPECT_EQ(kind_of(dir.path()), static_cast<int>(ErrorKind::kIo));
}

}  // namespace
}  // namespace plasticity
