#include "io/yaml_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"

namespace plasticity {
namespace {

using Kind = YamlNode::Kind;

YamlNode read(const std::string& text) {
    return read_yaml(text, "f.yaml");
}

void expect_malformed(const std::string& text, const std::vector<std::string>& parts) {
    test::expect_error(ErrorKind::kMalformed, parts, [&] { read(text); });
}

TEST(YamlReader, KnowsWhereValuesBegin) {
    const YamlNode root = read("a: 1\nb:\n  - x\n  - {c: true}\n");
    EXPECT_EQ(root.kind, Kind::kMap);
    EXPECT_EQ(root.keys, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(root.find("a")->scalar, 1);
    EXPECT_EQ(root.find("absent"), nullptr);
    const YamlNode& list = *root.find("b");
    ASSERT_EQ(list.items.size(), 2u);
    EXPECT_EQ(list.items[1].line, 4);
    EXPECT_EQ(list.items[1].column, 5);
    EXPECT_EQ(list.items[1].find("c")->scalar, true);
}

TEST(YamlReader, PlainScalarsHaveTypesAndQuotedOnesAreText) {
    const auto value = [](const std::string& text) { return read("a: " + text).find("a")->scalar; };
    EXPECT_TRUE(value("").is_null());
    EXPECT_TRUE(value("~").is_null());
    EXPECT_EQ(value("false"), false);
    EXPECT_EQ(value("-12"), -12);
    EXPECT_EQ(value("18446744073709551615"), 18446744073709551615u);
    EXPECT_EQ(value("4.5"), 4.5);
    EXPECT_EQ(value("1e3"), 1000.0);
    for (const char* text : {"32gb", "1/2", "007", "0x10", ".nan", "nan", "inf", "1e999", "off", "~/x", "a b"})
        EXPECT_EQ(value(text), text);
    EXPECT_EQ(value("\"12\""), "12");
    EXPECT_EQ(value("'true'"), "true");
    EXPECT_EQ(read("a: |\n  x\n  y\n").find("a")->scalar, "x\ny\n");
}

TEST(YamlReader, RefusesAnchorsAndAliases) {
    expect_malformed("a: &x 1\nb: *x\n", {"f.yaml:1:", "anchors"});
    expect_malformed("a: &a [x,x]\nb: &b [*a,*a]\n", {"anchors"});
    expect_malformed("a: *x\n", {"f.yaml:1:"});
    expect_malformed("&k a: 1\n", {"anchors"});
}

TEST(YamlReader, RefusesTagsDoubleKeysAndFurtherDocuments) {
    expect_malformed("a: !!python/object x\n", {"f.yaml:1:4", "tag"});
    expect_malformed("a: 1\na: 2\n", {"f.yaml:2:1", "twice"});
    expect_malformed("a: 1\n---\nb: 2\n", {"second document"});
    expect_malformed("? [a]\n: 1\n", {"key that is no text"});
    expect_malformed("m: {{input.x}}\n", {"f.yaml:1:5", "quotes"});
}

TEST(YamlReader, NamesLineAndColumnOfWhatIsNoYaml) {
    expect_malformed("a: [1, 2\nb: 3\n", {"f.yaml:2:"});
    expect_malformed("a: }\n", {"f.yaml:1:4"});
    expect_malformed("\tb: 1\n", {"f.yaml:1:"});
}

TEST(YamlReader, BoundsSizeDepthAndNumberOfValues) {
    expect_malformed(std::string(300 << 10, ' '), {"307200 bytes"});
    expect_malformed(std::string(50, '[') + std::string(50, ']'), {"f.yaml:1:13", "deeper than 12"});
    // A collection that does not end may as well be a key.
    expect_malformed(std::string(100'000, '['), {"f.yaml:1:1"});
    expect_malformed(std::string(100'000, '{'), {"f.yaml:1:1"});
    std::string dashes;
    for (int i = 0; i < 5000; ++i) dashes += "- ";
    expect_malformed(dashes + "x\n", {"deeper than 12"});
    std::string many = "[";
    for (int i = 0; i < 30'000; ++i) many += "1,";
    expect_malformed(many + "1]", {"more than 20000 values"});
}

TEST(YamlReader, RefusesOtherEncodingsAndControlCharacters) {
    expect_malformed("a: \xff\n", {"UTF-8"});
    expect_malformed(std::string("\xfe\xff\0a", 4), {"f.yaml"});
    expect_malformed(std::string("a: \0b", 5), {"control character"});
    expect_malformed("a: \x1b[2J\n", {"control character"});
}

TEST(YamlReader, TakesAnEmptyDocumentAsNull) {
    EXPECT_TRUE(read("").scalar.is_null());
    EXPECT_TRUE(read("# nothing\n").scalar.is_null());
}

}  // namespace
}  // namespace plasticity
