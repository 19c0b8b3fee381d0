#include "model/model_card.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace plasticity {
namespace {

GgufMetadata card(const std::string& text) {
    const test::TempDir dir;
    std::ofstream(dir / "README.md", std::ios::binary) << text;
    GgufMetadata general;
    read_model_card(dir.path(), general);
    return general;
}

using Texts = std::vector<std::string>;

TEST(ModelCard, TellsLicenseAndLanguages) {
    const GgufMetadata general = card(
        "---\nlicense: other\nlicense_name: research\nlicense_link: https://example.com/LICENSE\n"
        "language:\n- en\n- no\nmodel-index:\n- {name: x}\n---\n# A model\n---\nlicense: mit\n");
    EXPECT_EQ(general.text_or("general.license", ""), "other");
    EXPECT_EQ(general.text_or("general.license.name", ""), "research");
    EXPECT_EQ(general.text_or("general.license.link", ""), "https://example.com/LICENSE");
    ASSERT_NE(general.find("general.languages"), nullptr);
    EXPECT_EQ(std::get<Texts>(std::get<GgufArray>(*general.find("general.languages"))), (Texts{"en", "no"}));
}

TEST(ModelCard, MayHaveTheLineEndsOfOtherSystemsAndOneLanguage) {
    const GgufMetadata general = card("---\r\nlanguage: de\r\nlicense: mit\r\n---\r\n");
    EXPECT_EQ(general.text_or("general.license", ""), "mit");
    EXPECT_EQ(std::get<Texts>(std::get<GgufArray>(*general.find("general.languages"))), Texts{"de"});
}

TEST(ModelCard, SaysNothingWhereItCannotBeRead) {
    for (const std::string text :
         {"", "# A model\nlicense: mit\n", "---\nlicense: mit\n", "---\n---\n", "---\nlicense: [mit\n---\n",
          "---\nlicense: &a mit\n---\n", "---\nlicense: [mit, apache-2.0]\n---\n", "---\nlicense: 3\n---\n",
          "---\nlicense: \"a\\nb\"\n---\n", "---\nlicense: \xff\n---\n", "---\n- license\n---\n"})
        EXPECT_TRUE(card(text).entries().empty()) << text;
    EXPECT_TRUE(card("---\nlicense: " + std::string(1000, 'x') + "\n---\n").entries().empty());
    EXPECT_TRUE(card("---\n" + std::string(2 << 20, '#') + "\n---\n").entries().empty());

    const test::TempDir empty;
    GgufMetadata general;
    read_model_card(empty.path(), general);
    EXPECT_TRUE(general.entries().empty());
}

}  // namespace
}  // namespace plasticity
