#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "cli/held_out.h"
#include "cli/run_state.h"
#include "core/error.h"
#include "io/file_identity.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

/// What `plasticity run` makes of files: which are held out, and which stages are done.
class RunFiles : public testing::Test {
protected:
    fs::path write(const std::string& name, std::string_view content = "text") const {
        std::ofstream(dir_ / name) << content;
        return dir_ / name;
    }

    Paths write_all(const std::vector<std::string>& names) const {
        Paths paths;
        for (const std::string& name : names) paths.push_back(write(name));
        return paths;
    }

    test::TempDir dir_;
};

TEST_F(RunFiles, EveryFifthTextIsHeldOut) {
    const Paths files = write_all({"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a"});
    const DataSplit split = split_data({dir_.path()}, {});
    EXPECT_EQ(split.held_out, (Paths{files[4], files[9]}));
    EXPECT_EQ(split.calibration.size(), 9u);
    for (const fs::path& held_out : split.held_out)
        EXPECT_EQ(std::count(split.calibration.begin(), split.calibration.end(), held_out), 0);
}

TEST_F(RunFiles, OfFewTextsTheLastIsHeldOut) {
    const Paths files = write_all({"0", "1", "2"});
    EXPECT_EQ(split_data(files, {}).held_out, (Paths{files[2]}));
    EXPECT_EQ(split_data({files[0], files[1]}, {}).held_out, (Paths{files[1]}));
}

TEST_F(RunFiles, OneTextIsNotSplit) {
    const DataSplit split = split_data({write("only")}, {});
    EXPECT_EQ(split.calibration.size(), 1u);
    EXPECT_TRUE(split.held_out.empty());
}

TEST_F(RunFiles, RecordsAreNeverHeldOut) {
    const Paths files = write_all({"0.jsonl", "1.jsonl", "2.ndjson", "3.txt"});
    const DataSplit split = split_data(files, {});
    EXPECT_EQ(split.calibration.size(), 4u);
    EXPECT_TRUE(split.held_out.empty());
}

TEST_F(RunFiles, GivenEvaluationDataIsTakenAsItIs) {
    const Paths files = write_all({"0", "1", "2", "3", "4"});
    const DataSplit split = split_data({files[0], files[1]}, {files[4]});
    EXPECT_EQ(split.calibration, (Paths{files[0], files[1]}));
    EXPECT_EQ(split.held_out, (Paths{files[4]}));
    EXPECT_THROW(split_data({dir_ / "absent"}, {}), Error);
}

TEST_F(RunFiles, AStageIsDoneOnceItsOutputsAreThere) {
    const fs::path output = write("out");
    EXPECT_FALSE(RunState(dir_.path()).is_done("score", "print", {output}));
    RunState(dir_.path()).finish("score", "print");
    const RunState state(dir_.path());
    EXPECT_TRUE(state.is_done("score", "print", {output}));
    EXPECT_FALSE(state.is_done("score", "other print", {output}));
    EXPECT_FALSE(state.is_done("plan", "print", {output}));
    EXPECT_FALSE(state.is_done("score", "print", {output, dir_ / "absent"}));
}

TEST_F(RunFiles, LaterStagesKeepTheEarlierOnes) {
    RunState state(dir_.path());
    state.finish("score", "a");
    state.finish("plan", "b");
    state.finish("score", "c");
    const RunState reopened(dir_.path());
    EXPECT_TRUE(reopened.is_done("score", "c", {}));
    EXPECT_TRUE(reopened.is_done("plan", "b", {}));
}

TEST_F(RunFiles, ADamagedStateCountsAsNothingDone) {
    for (const char* content : {"", "{", "[]", "3", "{\"score\": 3}", "\xFF"}) {
        write("run.json", content);
        EXPECT_FALSE(RunState(dir_.path()).is_done("score", "3", {})) << content;
    }
}

TEST_F(RunFiles, FingerprintsTellPartsApart) {
    EXPECT_EQ(fingerprint({"a", "b"}), fingerprint({"a", "b"}));
    EXPECT_NE(fingerprint({"a", "b"}), fingerprint({"b", "a"}));
    EXPECT_NE(fingerprint({"ab", ""}), fingerprint({"a", "b"}));
}

TEST_F(RunFiles, IdentitySeesSizeAndTime) {
    const fs::path file = write("data", "text");
    const std::string before = identity_of_files({file});
    EXPECT_EQ(identity_of_files({dir_.path()}), before);
    write("data", "longer text");
    const std::string longer = identity_of_files({file});
    EXPECT_NE(longer, before);
    fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(5));
    EXPECT_NE(identity_of_files({file}), longer);
    EXPECT_THROW(identity_of_files({dir_ / "absent"}), Error);
}

}  // namespace
}  // namespace plasticity
