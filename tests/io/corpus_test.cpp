#include "io/corpus.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "core/error.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Form = CorpusRecord::Form;

class Corpus : public testing::Test {
protected:
    fs::path write(const std::string& name, std::string_view content) const {
        const fs::path path = dir_ / name;
        fs::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << content;
        return path;
    }

    static std::vector<CorpusRecord> read(const fs::path& path) { return read_corpus(std::span(&path, 1)); }

    static void expect_error(ErrorKind kind, std::string_view reason, const std::function<void()>& action) {
        try {
            action();
            ADD_FAILURE() << "accepted; expected: " << reason;
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            EXPECT_NE(std::string_view(error.what()).find(reason), std::string_view::npos) << error.what();
        }
    }

    test::TempDir dir_;
};

TEST_F(Corpus, FoldersAreReadRecursivelyInSortedOrderWithoutHiddenEntries) {
    write("data/b.txt", "b");
    write("data/a/z.py", "z");
    write("data/a/y.py", "y");
    write("data/.git/config", "hidden");
    write("data/a/.cache", "hidden");
    const std::vector<fs::path> paths{dir_ / "data"};
    EXPECT_EQ(list_data_files(paths),
              (std::vector<fs::path>{dir_ / "data/a/y.py", dir_ / "data/a/z.py", dir_ / "data/b.txt"}));
}

TEST_F(Corpus, FilesComeInTheOrderGiven) {
    const std::vector<fs::path> paths{write("b", "b"), write(".a", "named, so not hidden")};
    EXPECT_EQ(list_data_files(paths), paths);
}

TEST_F(Corpus, SaysWhatIsNotThere) {
    const std::vector<fs::path> absent{dir_ / "absent"}, empty{dir_.path()};
    expect_error(ErrorKind::kMissing, "absent does not exist", [&] { list_data_files(absent); });
    expect_error(ErrorKind::kUsage, "no files", [&] { list_data_files(empty); });
}

TEST_F(Corpus, TextFilesAreOneRecordEach) {
    const auto records = read(write("a.py", "x = 1\n{\"text\": 2}\n"));
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].form, Form::kText);
    EXPECT_EQ(records[0].text, "x = 1\n{\"text\": 2}\n");
}

TEST_F(Corpus, EveryFormOfJsonl) {
    const auto records = read(write("a.jsonl",
                                    "{\"text\": \"plain\"}\n\n"
                                    "{\"prompt\": \"p\", \"completion\": \"c\", \"id\": 7}\r\n"
                                    "  \t\n"
                                    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n"
                                    "{\"tokens\": [0, 5, 2147483647]}"));
    ASSERT_EQ(records.size(), 4u);
    EXPECT_EQ(records[0].form, Form::kText);
    EXPECT_EQ(records[0].text, "plain");
    EXPECT_EQ(records[1].form, Form::kCompletion);
    EXPECT_EQ(records[1].prompt + records[1].completion, "pc");
    EXPECT_EQ(records[1].where, (dir_ / "a.jsonl").string() + ":3");
    EXPECT_EQ(records[2].form, Form::kMessages);
    ASSERT_EQ(records[2].messages.size(), 1u);
    EXPECT_EQ(records[2].messages[0].content, "hi");
    EXPECT_EQ(records[3].form, Form::kTokens);
    EXPECT_EQ(records[3].tokens, (std::vector<std::int32_t>{0, 5, 2147483647}));
}

TEST_F(Corpus, MalformedLinesAreNamed) {
    for (const char* line : {"nonsense",
                             "[1]",
                             "3",
                             "null",
                             "{}",
                             "{\"prompt\": \"p\"}",
                             "{\"text\": 3}",
                             "{\"text\": null}",
                             "{\"prompt\": 1, \"completion\": \"c\"}",
                             "{\"messages\": \"hi\"}",
                             "{\"messages\": [{\"role\": \"user\"}]}",
                             "{\"messages\": [{\"role\": 1, \"content\": \"\"}]}",
                             "{\"tokens\": 5}",
                             "{\"tokens\": [\"a\"]}",
                             "{\"tokens\": [1.5]}",
                             "{\"tokens\": [true]}",
                             "{\"tokens\": [-1]}",
                             "{\"tokens\": [2147483648]}",
                             "{\"tokens\": [99999999999999999999]}",
                             "{\"tokens\": {\"a\": 1}}",
                             "{\"text\": \"a\", \"text\": \"b\"}",
                             "{\"text\": \"\\ud800\"}",
                             "{\"text\": \"a\"} x"}) {
        const auto path = write("a.jsonl", std::string("{\"text\": \"a\"}\n") + line + "\n");
        SCOPED_TRACE(line);
        expect_error(ErrorKind::kMalformed, "a.jsonl:2: ", [&] { read(path); });
    }
}

TEST_F(Corpus, EveryMalformedLineIsNamedAtOnce) {
    const auto path = write("a.jsonl", "{\"text\": 3}\n{\"text\": \"fine\"}\n{\"tokens\": [-1]}\nnonsense\n");
    for (const char* part : {"3 problems", "a.jsonl:1: ", "a.jsonl:3: tokens: '-1' is no token id", "a.jsonl:4: "})
        expect_error(ErrorKind::kMalformed, part, [&] { read(path); });
}

TEST_F(Corpus, EscapesWhatATerminalWouldObey) {
    const auto path = write("a.jsonl", "{\"tokens\": [\"\\u001b[2J\"]}");
    try {
        read(path);
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(std::string_view(error.what()).find('\033'), std::string_view::npos);
    }
}

TEST_F(Corpus, DeepNestingIsNoDanger) {
    const auto path = write("a.jsonl", std::string(200'000, '['));
    expect_error(ErrorKind::kMalformed, "a.jsonl:1", [&] { read(path); });
}

TEST_F(Corpus, BinaryFilesAreSkippedInFoldersAndRefusedByName) {
    write("data/text.txt", "text");
    const auto zero = write("data/zero.bin", std::string_view("a\0b", 3)), broken = write("data/latin.txt", "caf\xE9");
    EXPECT_EQ(read(dir_ / "data").size(), 1u);
    expect_error(ErrorKind::kMalformed, "zero.bin is not UTF-8 text", [&] { read(zero); });
    expect_error(ErrorKind::kMalformed, "latin.txt is not UTF-8 text", [&] { read(broken); });
}

TEST_F(Corpus, NothingButEmptyFilesIsNoData) {
    const auto path = write("empty.txt", "");
    expect_error(ErrorKind::kUsage, "empty or binary", [&] { read(path); });
}

TEST_F(Corpus, PlainTextIsJoinedByNewlines) {
    const std::vector<fs::path> paths{write("a.txt", "a"), write("b.jsonl", "{\"text\": \"b\"}\n{\"text\": \"c\"}\n")};
    EXPECT_EQ(read_plain_text(paths), "a\nb\nc");
    const std::vector<fs::path> chat{write("c.jsonl", "{\"prompt\": \"p\", \"completion\": \"c\"}\n")};
    expect_error(ErrorKind::kUsage, "c.jsonl:1 is no plain text", [&] { read_plain_text(chat); });
}

}  // namespace
}  // namespace plasticity
