#include "io/yaml_reader.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "io/printable.h"

namespace plasticity {
namespace {

[[noreturn]] void fail(const std::string& where, const YAML::Mark& mark, std::string_view problem) {
    throw Error(ErrorKind::kMalformed, fmt::format("{}:{}:{}: {}", where, mark.line + 1, mark.column + 1, problem));
}

template <typename Number>
std::optional<Number> whole_number(std::string_view text) {
    Number number{};
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    return problem == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

/// Builds the tree from the parser's events, so that limits hold before anything has grown.
class TreeBuilder : public YAML::EventHandler {
public:
    TreeBuilder(const std::string& where, const YamlLimits& limits) : where_(where), limits_(limits) {}

    YamlNode take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (std::exchange(has_begun_, true)) fail(where_, mark, "a second document begins; expected one");
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add_scalar(mark, anchor, nullptr); }
    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        const bool is_plain = tag == "?" || tag.empty();
        if (!is_plain && tag != "!") fail(where_, mark, fmt::format("the tag {} is not taken", printable(tag)));
        if (expects_key()) return add_key(mark, anchor, value);
        add_scalar(mark, anchor, is_plain ? plain_scalar(value) : nlohmann::json(value));
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        begin(mark, tag, anchor, YamlNode::Kind::kList);
    }
    void OnSequenceEnd() override { open_.pop_back(); }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        begin(mark, tag, anchor, YamlNode::Kind::kMap);
    }
    void OnMapEnd() override { open_.pop_back(); }

private:
    bool expects_key() const {
        return !open_.empty() && open_.back()->kind == YamlNode::Kind::kMap &&
               open_.back()->keys.size() == open_.back()->items.size();
    }

    [[noreturn]] void refuse_anchor(const YAML::Mark& mark) const {
        fail(where_, mark, "anchors and aliases are not taken; write the value out");
    }

    void add_key(const YAML::Mark& mark, YAML::anchor_t anchor, const std::string& key) {
        if (anchor != 0) refuse_anchor(mark);
        std::vector<std::string>& keys = open_.back()->keys;
        if (std::ranges::find(keys, key) != keys.end())
            fail(where_, mark, fmt::format("key {} appears twice", printable(key)));
        if (keys.size() >= kMaxKeys) fail(where_, mark, fmt::format("more than {} keys in one map", kMaxKeys));
        keys.push_back(key);
    }

    /// @returns where the value belongs
    YamlNode& add(const YAML::Mark& mark, YAML::anchor_t anchor) {
        if (anchor != 0) refuse_anchor(mark);
        if (++n_nodes_ > limits_.nodes) fail(where_, mark, fmt::format("more than {} values", limits_.nodes));
        if (expects_key())
            fail(where_, mark, "a key that is no text; is this a template? It wants quotes: \"{{input.name}}\"");
        if (!open_.empty()) open_.back()->items.emplace_back();
        YamlNode& node = open_.empty() ? root_ : open_.back()->items.back();
        node.line = mark.line + 1;
        node.column = mark.column + 1;
        return node;
    }

    void add_scalar(const YAML::Mark& mark, YAML::anchor_t anchor, nlohmann::json value) {
        add(mark, anchor).scalar = std::move(value);
    }

    /// A list's or map's own vector does not grow while one of its items is open, so the pointers stay good.
    void begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
        if (tag != "?" && tag != "!" && !tag.empty())
            fail(where_, mark, fmt::format("the tag {} is not taken", printable(tag)));
        if (open_.size() >= static_cast<std::size_t>(limits_.depth))
            fail(where_, mark, fmt::format("nested deeper than {} levels", limits_.depth));
        YamlNode& node = add(mark, anchor);
        node.kind = kind;
        open_.push_back(&node);
    }

    static constexpr std::size_t kMaxKeys = 256;

    const std::string& where_;
    const YamlLimits& limits_;
    YamlNode root_;
    std::vector<YamlNode*> open_;
    std::size_t n_nodes_ = 0;
    bool has_begun_ = false;
};

/// What yaml-cpp would read as another encoding, or replace.
void require_plain_utf8(std::string_view text, const std::string& where) {
    const auto stray = std::ranges::find_if(text, [](char byte) {
        return (static_cast<unsigned char>(byte) < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') ||
               byte == 0x7f;
    });
    if (stray != text.end())
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: byte {} is a control character; expected YAML text", where, stray - text.begin()));
    try {
        static_cast<void>(nlohmann::json(text).dump());
    } catch (const nlohmann::json::exception&) {
        throw Error(ErrorKind::kMalformed, fmt::format("{}: is not valid UTF-8", where));
    }
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
    const auto found = std::ranges::find(keys, key);
    return found == keys.end() ? nullptr : &items[static_cast<std::size_t>(found - keys.begin())];
}

nlohmann::json plain_scalar(const std::string& text) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
    if (text == "true" || text == "True" || text == "TRUE") return true;
    if (text == "false" || text == "False" || text == "FALSE") return false;
    const std::size_t first = text.front() == '-' ? 1 : 0;
    const auto is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
    const bool has_leading_zero = is_digit(first) && text[first] == '0' && is_digit(first + 1);
    if (has_leading_zero ||
        (!is_digit(first) && !(text[first == text.size() ? 0 : first] == '.' && is_digit(first + 1))))
        return text;
    if (const auto number = whole_number<std::uint64_t>(text)) return *number;
    if (const auto number = whole_number<std::int64_t>(text)) return *number;
    if (const auto number = whole_number<double>(text); number && std::isfinite(*number)) return *number;
    return text;
}

YamlNode read_yaml(std::string_view text, const std::string& where, const YamlLimits& limits) {
    if (text.size() > limits.bytes)
        throw Error(ErrorKind::kMalformed,
                    fmt::format("{}: {} bytes; expected {} at most", where, text.size(), limits.bytes));
    require_plain_utf8(text, where);
    std::istringstream stream{std::string(text)};
    TreeBuilder builder(where, limits);
    try {
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const YAML::Exception& problem) {
        fail(where, problem.mark, printable(problem.msg, 300));
    }
    return builder.take();
}

}  // namespace plasticity
