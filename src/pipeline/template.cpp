#include "pipeline/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "core/error.h"
#include "io/printable.h"

namespace plasticity {
namespace {

using nlohmann::json;

constexpr std::string_view kOpen = "{{", kClose = "}}";
constexpr std::size_t kMaxInserted = 4 << 20;  // bytes of JSON, by all templates of one value together
constexpr std::size_t kMaxParts = 16;

[[noreturn]] void template_error(ErrorKind kind, const YamlNode& node, const std::string& where,
                                 std::string_view problem) {
    throw Error(kind, fmt::format("{}:{}:{}: {}", where, node.line, node.column, problem));
}

/// A text in alternation: as it stands, template, as it stands, …
struct TextParts {
    std::vector<std::string> plain, references;
};

std::string trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(' ');
    if (first == std::string_view::npos) return "";
    return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

TextParts parts_of(const YamlNode& node, const std::string& where) {
    std::string_view rest = node.scalar.get_ref<const std::string&>();
    TextParts parts;
    for (std::size_t open = rest.find(kOpen); open != std::string_view::npos; open = rest.find(kOpen)) {
        const std::size_t close = rest.find(kClose, open);
        if (close == std::string_view::npos) template_error(ErrorKind::kMalformed, node, where, "{{ without }}");
        parts.plain.emplace_back(rest.substr(0, open));
        parts.references.push_back(trimmed(rest.substr(open + kOpen.size(), close - open - kOpen.size())));
        rest.remove_prefix(close + kClose.size());
    }
    parts.plain.emplace_back(rest);
    return parts;
}

std::vector<std::string> names_in(const std::string& reference, const YamlNode& node, const std::string& where) {
    std::vector<std::string> names(1);
    for (const char letter : reference) {
        const bool is_name = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                             (letter >= '0' && letter <= '9') || letter == '_' || letter == '-' || letter == '*';
        if (letter == '.')
            names.emplace_back();
        else if (is_name)
            names.back().push_back(letter);
        else
            template_error(ErrorKind::kMalformed, node, where,
                           fmt::format("{} is no reference; expected names with dots between", printable(reference)));
    }
    const bool has_gap = std::ranges::any_of(names, [](const std::string& name) { return name.empty(); });
    const std::string& root = names.front();
    const bool is_known = ((root == "input" || root == "steps") && names.size() >= 2) || root == "item" ||
                          (root == "index" && names.size() == 1);
    if (has_gap || names.size() > kMaxParts || !is_known)
        template_error(ErrorKind::kMalformed, node, where,
                       fmt::format("{} is no reference; expected input.NAME, steps.NAME.data.FIELD, item or index",
                                   printable(reference)));
    return names;
}

/// Resolves all templates of one value, and bounds what they insert together.
class TemplateResolver {
public:
    TemplateResolver(const TemplateScope& scope, const std::string& where) : scope_(scope), where_(where) {}

    json value_of(const YamlNode& node) {
        if (node.kind == YamlNode::Kind::kScalar) return node.scalar.is_string() ? text_of(node) : node.scalar;
        const bool is_list = node.kind == YamlNode::Kind::kList;
        json value = is_list ? json::array() : json::object();
        for (std::size_t i = 0; i < node.items.size(); ++i) {
            json item = value_of(node.items[i]);
            if (is_list)
                value.push_back(std::move(item));
            else
                value[node.keys[i]] = std::move(item);
        }
        return value;
    }

private:
    json text_of(const YamlNode& node) {
        const TextParts parts = parts_of(node, where_);
        if (parts.references.empty()) return node.scalar;
        const bool is_whole = parts.references.size() == 1 && trimmed(parts.plain[0] + parts.plain[1]).empty();
        if (is_whole) {
            const std::optional<json> value = lookup(parts.references[0], node);
            return value ? *value : node.scalar;
        }
        std::string text = parts.plain[0];
        for (std::size_t i = 0; i < parts.references.size(); ++i) {
            const std::optional<json> value = lookup(parts.references[i], node);
            if (!value)
                text += fmt::format("{{{{{}}}}}", parts.references[i]);
            else if (value->is_structured())
                template_error(
                    ErrorKind::kUsage, node, where_,
                    fmt::format("{} is a list or an object; it must be the whole value", parts.references[i]));
            else
                text += value->is_string() ? value->get<std::string>() : value->dump();
            text += parts.plain[i + 1];
        }
        return text;
    }

    /// @returns nothing where a dry run cannot know
    std::optional<json> lookup(const std::string& reference, const YamlNode& node) {
        const std::vector<std::string> names = names_in(reference, node, where_);
        std::optional<json> found = find(names, reference, node);
        if (!found) return std::nullopt;
        inserted_ += found->dump(-1, ' ', false, json::error_handler_t::replace).size();
        if (inserted_ > kMaxInserted)
            template_error(ErrorKind::kUsage, node, where_,
                           fmt::format("templates insert more than {} bytes here", kMaxInserted));
        return found;
    }

    std::optional<json> find(const std::vector<std::string>& names, const std::string& reference,
                             const YamlNode& node) {
        if (names[0] == "index") return json(scope_.index);
        if (names[0] == "item") {
            if (scope_.item == nullptr)
                template_error(ErrorKind::kUsage, node, where_, "there is an item only in steps with forEach");
            return within(*scope_.item, names, 1, reference, node);
        }
        const json& root = names[0] == "input" ? scope_.input : scope_.steps;
        return within(root, names, 1, reference, node);
    }

    std::optional<json> within(const json& value, const std::vector<std::string>& names, std::size_t from,
                               const std::string& reference, const YamlNode& node) {
        if (from == names.size()) return value;
        const std::string& name = names[from];
        if (value.is_array() && name == "*") {
            json all = json::array();
            for (const json& element : value) {
                std::optional<json> found = within(element, names, from + 1, reference, node);
                if (!found) return std::nullopt;
                all.push_back(*std::move(found));
            }
            return all;
        }
        if (value.is_array()) {
            std::size_t i = 0;
            const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), i);
            if (problem == std::errc() && end == name.data() + name.size() && i < value.size())
                return within(value[i], names, from + 1, reference, node);
        }
        if (const auto found = value.find(name); value.is_object() && found != value.end())
            return within(*found, names, from + 1, reference, node);
        if (scope_.is_dry_run) return std::nullopt;
        template_error(ErrorKind::kUsage, node, where_, fmt::format("{}: there is no {}", reference, name));
    }

    const TemplateScope& scope_;
    const std::string& where_;
    std::size_t inserted_ = 0;
};

}  // namespace

json resolve_templates(const YamlNode& node, const TemplateScope& scope, const std::string& where) {
    return TemplateResolver(scope, where).value_of(node);
}

bool has_template(const json& value) {
    if (value.is_string()) return value.get_ref<const std::string&>().find(kOpen) != std::string::npos;
    return value.is_structured() && std::ranges::any_of(value, has_template);
}

void visit_templates(const YamlNode& node, const std::string& where,
                     const std::function<void(const YamlNode&, std::string_view, std::string_view)>& visit) {
    for (const YamlNode& item : node.items) visit_templates(item, where, visit);
    if (node.kind != YamlNode::Kind::kScalar || !node.scalar.is_string()) return;
    for (const std::string& reference : parts_of(node, where).references) {
        const std::vector<std::string> names = names_in(reference, node, where);
        visit(node, names[0], names.size() > 1 ? std::string_view(names[1]) : std::string_view());
    }
}

}  // namespace plasticity
