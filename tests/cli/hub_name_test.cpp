// Models named as the hub names them, by the program itself.

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/hub_cache.h"
#include "support/subprocess.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

class HubNames : public testing::Test {
protected:
    test::Finished run(const Arguments& arguments) const { return test::run_program(arguments, scratch_.path()); }

    void expect_refused(const Arguments& arguments, int exit_code, std::string_view reason) const {
        const test::Finished finished = run(arguments);
        EXPECT_EQ(finished.exit_code, exit_code) << finished.err;
        EXPECT_NE(finished.err.find(reason), std::string::npos) << finished.err;
    }

    test::TempDir dir_, scratch_;
    fs::path cache_ = dir_ / "hub";
    test::Setting setting_{"HF_HUB_CACHE", cache_.string()};
};

TEST_F(HubNames, OpenAFolderWhereverAModelIsOpened) {
    const fs::path folder = dir_ / "folder", model = test::write_tiny_gguf(dir_ / "tiny.gguf");
    ASSERT_EQ(run({"export", model.string(), "--format", "hf", "-o", folder.string()}).exit_code, 0);
    const fs::path snapshot = test::move_into_hub_cache(folder, cache_, "Org", "Tiny");
    const fs::path data = dir_ / "data.txt";
    for (int i = 0; i < 60; ++i) std::ofstream(data, std::ios::app) << "in the inner ring of the water " << i << "\n";

    const test::Finished inspected = run({"inspect", "Org/Tiny", "--json"});
    ASSERT_EQ(inspected.exit_code, 0) << inspected.err;
    EXPECT_EQ(nlohmann::json::parse(inspected.out).at("path"), snapshot.string());
    const std::string out = (dir_ / "out.gguf").string(), text = data.string();
    for (const Arguments& arguments :
         {Arguments{"export", "Org/Tiny", "--format", "gguf", "-o", out},
          {"eval", "Org/Tiny", "--data", text, "-c", "64"},
          {"infer", "Org/Tiny@main", "-p", "in", "-n", "1"},
          {"score", "Org/Tiny", "--data", text, "--chunk", "64", "-o", (dir_ / "scores.json").string()}}) {
        const test::Finished finished = run(arguments);
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
    }
    EXPECT_NE(run({"run", "Org/Tiny", "--data", text, "--device", "16gb", "-o", (dir_ / "run").string()}).exit_code, 3);
    EXPECT_TRUE(fs::exists(dir_ / "run" / "model.gguf"));
}

TEST_F(HubNames, NeverWriteOntoABlob) {
    fs::create_directories(dir_ / "folder");
    test::write_tiny_gguf(dir_ / "folder" / "tiny.gguf");
    const fs::path snapshot = test::move_into_hub_cache(dir_ / "folder", cache_, "Org", "Tiny");
    const fs::path blob = fs::canonical(snapshot / "tiny.gguf");
    for (const fs::path& target : {blob, snapshot / "tiny.gguf"})
        expect_refused({"export", "Org/Tiny", "--format", "gguf", "-o", target.string(), "--force"}, 2,
                       "is read as an input");
    EXPECT_EQ(run({"inspect", "Org/Tiny:tiny.gguf"}).exit_code, 0);
}

TEST_F(HubNames, SayHowToFetchWhatIsNotThere) {
    for (const char* command : {"inspect", "verify"})
        expect_refused({command, "Org/Absent"}, 3, "hf download Org/Absent");
    expect_refused({"infer", "Org/Absent@v2", "-p", "in"}, 3, (cache_ / "models--Org--Absent").string());
    expect_refused({"inspect", "../Absent"}, 3, "no such file");
}

}  // namespace
}  // namespace plasticity
