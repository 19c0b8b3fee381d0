// A real model in a hub cache: exported to sharded safetensors, laid out as huggingface_hub does, named by its hub
// name.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "integration/real_model.h"
#include "model/hf_export.h"
#include "support/hub_cache.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

TEST(HubName, RunsARealModelOfTheCache) {
    const test::TempDir dir, scratch;
    export_hf(*open_model(test::smollm2()),
              {.folder = dir / "folder", .dtype = "f16", .shard_bytes = std::uint64_t{100} << 20}, test::quiet());
    test::move_into_hub_cache(dir / "folder", dir / "hub", "HuggingFaceTB", "SmolLM2-135M-Instruct");
    const test::Setting home("HF_HUB_CACHE", (dir / "hub").string());

    const auto run = [&](const std::vector<std::string>& arguments) {
        const test::Finished finished = test::run_program(arguments, scratch.path());
        EXPECT_EQ(finished.exit_code, 0) << finished.err;
        return nlohmann::json::parse(finished.out, nullptr, false);
    };
    const std::string name = "HuggingFaceTB/SmolLM2-135M-Instruct";
    const auto inspected = run({"inspect", name, "--json"});
    EXPECT_EQ(inspected.at("layers"), 30);
    const auto said = run({"infer", name, "-p", "def is_prime(n):", "-n", "8", "--temp", "0", "--json"});
    const auto same =
        run({"infer", test::smollm2().string(), "-p", "def is_prime(n):", "-n", "8", "--temp", "0", "--json"});
    EXPECT_EQ(said.at("text"), same.at("text"));

    // The weights of the second shard are gone: what is lacking and how to get it is said before anything is read.
    const auto model = open_model(name);
    ASSERT_GE(model->files().size(), 2u);
    std::filesystem::remove(std::filesystem::canonical(model->files().back().path));
    const test::Finished refused = test::run_program({"inspect", name}, scratch.path());
    EXPECT_EQ(refused.exit_code, 3);
    EXPECT_NE(refused.err.find("hf download " + name), std::string::npos) << refused.err;
    EXPECT_NE(refused.err.find(model->files().back().path.filename().string()), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace plasticity
