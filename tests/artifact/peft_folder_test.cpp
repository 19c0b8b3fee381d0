#include "artifact/peft_folder.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/gguf_reader.h"
#include "io/safetensors_reader.h"
#include "io/safetensors_writer.h"
#include "support/random_adapter.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;

class PeftFolder : public testing::Test {
protected:
    void save() { save_peft_folder(adapter_, architecture_, folder_, Overwrite::kReplace); }

    void change_config(const std::function<void(nlohmann::json&)>& change) {
        const fs::path path = folder_ / "adapter_config.json";
        auto json = nlohmann::json::parse(read_text_file(path));
        change(json);
        write_text_file(path, json.dump(), Overwrite::kReplace);
    }

    std::string problem_of(ErrorKind kind = ErrorKind::kMalformed) const {
        try {
            load_peft_folder(folder_, architecture_);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        ADD_FAILURE() << "went through";
        return "";
    }

    test::TempDir dir_;
    fs::path folder_ = dir_ / "adapter";
    Architecture architecture_ = test::tiny_architecture();  // llama of a GGUF: rows in NORM order
    LoraAdapter adapter_ = test::random_adapter(architecture_);
};

TEST_F(PeftFolder, ReadsBackTheSameValues) {
    for (const char* family : {"llama", "qwen2"}) {
        architecture_ = test::tiny_architecture({.architecture = family});
        adapter_ = test::random_adapter(architecture_);
        save();
        const LoraAdapter loaded = load_peft_folder(folder_, architecture_);
        EXPECT_EQ(loaded.sha256(), adapter_.sha256()) << family;
    }
}

TEST_F(PeftFolder, HoldsWhatPeftExpects) {
    save();
    const auto config = nlohmann::json::parse(read_text_file(folder_ / "adapter_config.json"));
    EXPECT_EQ(config["peft_type"], "LORA");
    EXPECT_EQ(config["r"], 3);
    EXPECT_EQ(config["lora_alpha"], 6);
    EXPECT_EQ(config["target_modules"],
              (nlohmann::json{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}));
    const SafetensorsReader file(folder_ / "adapter_model.safetensors");
    EXPECT_EQ(file.entries().size(), 2u * 2 * 7);
    const auto* a = file.find("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight");
    const auto* b = file.find("base_model.model.model.layers.1.mlp.down_proj.lora_B.weight");
    ASSERT_NE(a, nullptr);
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(a->shape, (std::vector<std::int64_t>{3, 32}));
    EXPECT_EQ(b->shape, (std::vector<std::int64_t>{32, 3}));
    EXPECT_EQ(a->dtype, "F32");
}

TEST_F(PeftFolder, HoldsTheAdapterForLlamaCppInTheModelsOwnRowOrder) {
    save();
    const GgufReader file(folder_ / "adapter.gguf");
    EXPECT_EQ(file.metadata().text("general.type"), "adapter");
    EXPECT_EQ(file.metadata().text("general.architecture"), "llama");
    EXPECT_EQ(file.metadata().text("adapter.type"), "lora");
    EXPECT_EQ(file.metadata().real("adapter.lora.alpha"), 6);
    const GgufTensor& b = *file.find("blk.0.attn_q.weight.lora_b");
    EXPECT_EQ(b.row_length(), 3);
    EXPECT_EQ(b.n_rows(), 32);
    std::vector<float> values(static_cast<std::size_t>(3 * 32));
    file.read(b, 0, std::as_writable_bytes(std::span(values)));
    EXPECT_EQ(values, adapter_.matrices.front().b);
    EXPECT_EQ(file.find("blk.0.attn_q.weight.lora_a")->row_length(), 32);
}

TEST_F(PeftFolder, RefusesAdaptersOfOtherKinds) {
    const std::pair<const char*, nlohmann::json> changes[] = {{"peft_type", "IA3"},
                                                              {"use_dora", true},
                                                              {"use_rslora", true},
                                                              {"fan_in_fan_out", true},
                                                              {"bias", "all"},
                                                              {"rank_pattern", {{"q_proj", 4}}},
                                                              {"alpha_pattern", {{"q", 4}}},
                                                              {"lora_alpha", 0},
                                                              {"lora_alpha", "16"},
                                                              {"modules_to_save", {"lm_head"}},
                                                              {"r", 0},
                                                              {"r", 2.5}};
    for (const auto& [key, value] : changes) {
        save();
        change_config([&](nlohmann::json& json) { json[key] = value; });
        const std::string problem = problem_of();
        EXPECT_NE(problem.find(key), std::string::npos) << problem;
    }
    save();
    write_text_file(folder_ / "adapter_config.json", "[]", Overwrite::kReplace);
    problem_of();
    fs::remove(folder_ / "adapter_config.json");
    problem_of(ErrorKind::kMissing);
}

TEST_F(PeftFolder, RefusesWhatDoesNotFitTheModel) {
    save();
    change_config([](nlohmann::json& json) { json["r"] = 4; });
    EXPECT_NE(problem_of().find("expected F32, F16 or BF16 [4, 32]"), std::string::npos);

    save();
    architecture_ = test::tiny_architecture({.n_layer = 1});
    EXPECT_NE(problem_of().find("not a low-rank half of a matrix of this model"), std::string::npos);

    architecture_ = test::tiny_architecture();
    const std::vector<float> values(96);
    SafetensorsWriter half(folder_ / "adapter_model.safetensors",
                           {{"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "F32", {3, 32}}},
                           Overwrite::kReplace);
    half.write(std::as_bytes(std::span(values)));
    half.finish();
    EXPECT_NE(problem_of().find("only one of lora_A and lora_B"), std::string::npos);
}

TEST_F(PeftFolder, RefusesValuesThatAreNoNumbers) {
    adapter_.matrices[2].a[5] = std::numeric_limits<float>::quiet_NaN();
    save();
    EXPECT_NE(problem_of().find("v_proj.lora_A.weight' at index 5"), std::string::npos);
}

}  // namespace
}  // namespace plasticity
