#include "artifact/score_provenance.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"

namespace plasticity {
namespace {

TEST(ScoreSlice, CutsIntoConsecutivePartsThatDifferByAtMostOne) {
    for (const std::int64_t n : {7, 8, 100, 101}) {
        for (std::int32_t count = 1; count <= 7; ++count) {
            std::int64_t next = 0;
            for (std::int32_t index = 1; index <= count; ++index) {
                const ScoreSlice slice{.index = index, .count = count, .n_examples = n};
                EXPECT_EQ(slice.first(), next);
                EXPECT_GE(slice.size(), n / count);
                EXPECT_LE(slice.size(), n / count + 1);
                next += slice.size();
            }
            EXPECT_EQ(next, n);
        }
    }
}

TEST(ScoreSlice, BoundsDoNotOverflow) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    const ScoreSlice last{.index = kMaxSlices, .count = kMaxSlices, .n_examples = kMost};
    EXPECT_EQ(last.first() + last.size(), kMost);
}

TEST(ScoreSlice, IsReadFromText) {
    EXPECT_EQ(parse_score_slice("2/5"), (ScoreSlice{.index = 2, .count = 5}));
    EXPECT_EQ(parse_score_slice("1/1"), ScoreSlice{});
    for (const char* text :
         {"", "/", "1", "0/2", "3/2", "-1/2", "1/", "/2", "1/2x", " 1/2", "1/2/3", "1/99999999999"}) {
        try {
            parse_score_slice(text);
            ADD_FAILURE() << "accepted " << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage) << text;
        }
    }
}

}  // namespace
}  // namespace plasticity
