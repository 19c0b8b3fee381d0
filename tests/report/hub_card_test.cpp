#include "report/hub_card.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "report/modelfile.h"
#include "report/record_support.h"

namespace plasticity {
namespace {

/// The lines between the first two `---`.
std::vector<std::string> front_matter_lines(const std::string& card) {
    std::istringstream text(card);
    std::vector<std::string> lines;
    std::string line;
    std::getline(text, line);
    EXPECT_EQ(line, "---");
    while (std::getline(text, line) && line != "---") lines.push_back(line);
    return lines;
}

/// A stranger's value is a JSON string, which is a scalar of YAML; the rest is this program's own.
void expect_quoted(const std::string& line, const std::string& key, const std::string& value) {
    ASSERT_TRUE(line.starts_with(key)) << line;
    EXPECT_EQ(nlohmann::json::parse(line.substr(key.size())), value);
}

TEST(HubCard, SaysWhatTheSourceSays) {
    RunRecord record = test::example_record("apache-2.0");
    record.metadata.set("general.repo_url", std::string("https://huggingface.co/Owner/Base"));
    const auto lines = front_matter_lines(hub_card(record));
    EXPECT_EQ(lines.at(0), "base_model: \"Owner/Base\"");
    EXPECT_EQ(lines.at(1), "base_model_relation: quantized");
    EXPECT_EQ(lines.at(2), "license: \"apache-2.0\"");
    record.reproduction->model_repository = "Hub/Name";
    EXPECT_EQ(front_matter_lines(hub_card(record)).at(0), "base_model: \"Hub/Name\"");
}

TEST(HubCard, InventsNothing) {
    RunRecord record = test::example_record();
    record.metadata = {};
    record.report.reset();
    const std::string card = hub_card(record);
    EXPECT_EQ(card.find("\nbase_model: "), std::string::npos);
    EXPECT_EQ(card.find("\nlicense: "), std::string::npos);
    EXPECT_EQ(card.find("\nlanguage:"), std::string::npos);
    EXPECT_EQ(card.find("model-index"), std::string::npos) << "nothing was measured";
    EXPECT_NE(card.find("# license: the source's metadata name none"), std::string::npos);
}

TEST(HubCard, KeepsTextOfStrangersWithinItsLine) {
    const std::string hostile = "mit\n---\nlicense: other\ntags: [\"x\"] # <b>|";
    RunRecord record = test::example_record(hostile);
    record.reproduction.reset();  // its command stands in a block of code
    const std::string card = hub_card(record);
    const auto lines = front_matter_lines(card);
    expect_quoted(lines.at(2), "license: ", "mit --- license: other tags: [\"x\"] # <b>|");
    expect_quoted(lines.at(4), "- ", "mit --- license: other tags: [\"x\"] # <b>|");
    EXPECT_EQ(card.find("\nlicense: other"), std::string::npos);
    EXPECT_EQ(card.find("<b>", card.find("\n---\n")), std::string::npos) << "markup behind the front matter is text";
}

TEST(HubCard, HasTheMetricsThatWereMeasured) {
    const std::string card = hub_card(test::example_record());
    EXPECT_NE(card.find("    - type: perplexity\n      name: Perplexity\n      value: 5\n"), std::string::npos) << card;
    EXPECT_NE(card.find("      value: 0.5\n"), std::string::npos);
    EXPECT_NE(card.find("NO: a check failed"), std::string::npos);
}

TEST(Modelfile, NamesFileContextAndStops) {
    EXPECT_EQ(ollama_modelfile(test::example_record("end")).value_or(""),
              "# ollama create NAME -f Modelfile\nFROM ./model.gguf\n"
              "# The model has no chat template: it continues text.\n"
              "PARAMETER num_ctx 4096\nPARAMETER stop \"<|im_end|>\"\nPARAMETER stop \"end\"\n");
}

TEST(Modelfile, TakesNoInstructionFromATokenOrATemplate) {
    for (const char* token : {"x\"\nADAPTER /etc/passwd", "a b", "\"\"\"", "\\", "\xff", ""}) {
        RunRecord record = test::example_record(token);
        record.metadata.set("tokenizer.chat_template", std::string("x\nADAPTER y"));
        const std::string lines = ollama_modelfile(record).value_or("");
        EXPECT_EQ(lines.find("ADAPTER"), std::string::npos);
        EXPECT_TRUE(lines.ends_with("PARAMETER stop \"<|im_end|>\"\n")) << lines;
        EXPECT_NE(lines.find("which Ollama reads"), std::string::npos);
    }
}

TEST(Modelfile, IsNotForFilesThatStockEnginesDoNotRun) {
    RunRecord record = test::example_record();
    record.recipe.stock = false;
    EXPECT_FALSE(ollama_modelfile(record).has_value());
    EXPECT_EQ(hub_card(record).find("ollama"), std::string::npos);
}

}  // namespace
}  // namespace plasticity
