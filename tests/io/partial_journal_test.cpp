#include "io/partial_journal.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/file_bytes.h"

namespace plasticity {
namespace {

using test::names_in;
using test::put;
using test::read_bytes;
using test::TempDir;
using test::write_bytes;

/// What a killed process leaves: its files as they were at that moment.
class KilledWriter : public testing::Test {
protected:
    /// "one" and "two" marked, "thr" not.
    void be_killed() {
        AtomicFile file(dir_ / "elsewhere", {.overwrite = Overwrite::kRefuse, .resume_key = "key"});
        put(file, "one");
        file.mark();
        put(file, "two");
        file.mark();
        put(file, "thr");
        write_bytes(partial_, read_bytes(dir_ / ".elsewhere.partial"));
        write_bytes(journal_, read_bytes(dir_ / ".elsewhere.partial.journal"));
    }

    /// How many bytes the next writer keeps; what it finishes is right in any case.
    std::uint64_t kept(const std::string& key = "key") {
        std::uint64_t kept_bytes = 0;
        {
            AtomicFile file(dir_ / "out", {.overwrite = Overwrite::kReplace, .resume_key = key});
            kept_bytes = file.written();
            const std::string all = "onetwothree";
            put(file, std::string_view(all).substr(kept_bytes));
            file.commit();
        }
        EXPECT_EQ(read_bytes(dir_ / "out"), "onetwothree");
        EXPECT_EQ(names_in(dir_.path()).size(), 1u);
        return kept_bytes;
    }

    /// The same without finishing: what is kept is right.
    std::uint64_t kept_unfinished() {
        const AtomicFile file(dir_ / "out", {.overwrite = Overwrite::kReplace, .resume_key = "key"});
        EXPECT_EQ(read_bytes(partial_), std::string("onetwo").substr(0, file.written()));
        return file.written();
    }

    void change(const std::filesystem::path& path, std::size_t at, char to) {
        std::string bytes = read_bytes(path);
        bytes.at(at) = to;
        write_bytes(path, bytes);
    }

    TempDir dir_;
    std::filesystem::path partial_ = dir_ / ".out.partial", journal_ = dir_ / ".out.partial.journal";
};

TEST_F(KilledWriter, IsContinuedAfterItsLastMark) {
    be_killed();
    EXPECT_EQ(kept(), 6u);
}

TEST_F(KilledWriter, LeavesTheDigestOfTheWholeFileToItsSuccessor) {
    be_killed();
    AtomicFile file(dir_ / "out", {.overwrite = Overwrite::kReplace, .resume_key = "key"});
    EXPECT_EQ(file.sha256(), sha256_hex("onetwo"));
    put(file, "three");
    EXPECT_EQ(file.sha256(), sha256_hex("onetwothree"));
    AtomicFile unkept(dir_ / "other", Overwrite::kRefuse);
    EXPECT_THROW(unkept.sha256(), Error);
}

TEST_F(KilledWriter, IsContinuedEvenIfKilledAgainAndAgain) {
    be_killed();
    {
        AtomicFile file(dir_ / "out", {.overwrite = Overwrite::kReplace, .resume_key = "key"});
        ASSERT_EQ(file.written(), 6u);
        put(file, "thr");
        file.mark();
        put(file, "e");
        const std::string partial = read_bytes(partial_), journal = read_bytes(journal_);
        file.commit();
        write_bytes(partial_, partial);
        write_bytes(journal_, journal);
    }
    EXPECT_EQ(kept(), 9u);
}

TEST_F(KilledWriter, IsNotContinuedUnderAnotherKey) {
    be_killed();
    EXPECT_EQ(kept("another"), 0u);
}

TEST_F(KilledWriter, IsNotContinuedWithoutItsJournal) {
    be_killed();
    std::filesystem::remove(journal_);
    EXPECT_EQ(kept(), 0u);
}

TEST_F(KilledWriter, LosesWhatIsNotWhatTheJournalSays) {
    be_killed();
    change(partial_, 4, 'X');
    EXPECT_EQ(kept(), 3u);
    be_killed();
    change(partial_, 0, 'X');
    EXPECT_EQ(kept(), 0u);
    be_killed();
    std::filesystem::resize_file(partial_, 5);  // the file system lost the end of it
    EXPECT_EQ(kept(), 3u);
    be_killed();
    std::filesystem::resize_file(partial_, 0);
    EXPECT_EQ(kept(), 0u);
}

TEST_F(KilledWriter, SurvivesEveryTruncationOfTheJournal) {
    be_killed();
    const std::string whole = read_bytes(journal_);
    for (std::size_t length = 0; length <= whole.size(); ++length) {
        be_killed();
        write_bytes(journal_, whole.substr(0, length));
        const std::uint64_t bytes = kept_unfinished();
        EXPECT_TRUE(bytes == 0 || bytes == 3 || bytes == 6);
        EXPECT_EQ(bytes == 6, length == whole.size());
    }
}

TEST_F(KilledWriter, SurvivesNonsenseInTheJournal) {
    be_killed();
    const std::string whole = read_bytes(journal_);
    const std::size_t first = whole.find('\n') + 1;
    const std::string digest(64, '0');
    for (const std::string& lines : {std::string("99999999999999999999 ") + digest, "-1 " + digest, "0 " + digest,
                                     "18446744073709551615 " + digest, std::string(4096, 'x'), std::string(100, '\0'),
                                     std::string("\n\n\n"), "6 " + digest}) {
        be_killed();
        write_bytes(journal_, whole.substr(0, first) + lines + "\n");
        EXPECT_EQ(kept_unfinished(), 0u) << lines;
        be_killed();
        write_bytes(journal_, whole + lines + "\n");
        EXPECT_EQ(kept_unfinished(), 6u) << lines;
    }
    for (std::size_t at = 0; at < whole.size(); ++at) {
        be_killed();
        change(journal_, at, '#');
        EXPECT_LT(kept_unfinished(), 6u) << at;
    }
}

TEST_F(KilledWriter, LeavesNothingWhenTheNextOneGivesUp) {
    be_killed();
    {
        const AtomicFile file(dir_ / "out", {.overwrite = Overwrite::kReplace, .resume_key = "key"});
    }
    EXPECT_TRUE(names_in(dir_.path()).empty());
}

}  // namespace
}  // namespace plasticity
