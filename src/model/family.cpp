#include "model/family.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "model/config_fields.h"

namespace plasticity {
namespace {

const Family* find(std::string_view Family::* member, std::string_view name) {
    for (const Family* family : families::all())
        if (!name.empty() && family->*member == name) return family;
    return nullptr;
}

std::string names(std::string_view Family::* member) {
    std::vector<std::string_view> found;
    for (const Family* family : families::all())
        if (!(family->*member).empty()) found.push_back(family->*member);
    std::ranges::sort(found);
    return fmt::format("{}", fmt::join(found, ", "));
}

}  // namespace

const Family* family_of_gguf(std::string_view architecture) {
    return find(&Family::gguf, architecture);
}

const Family* family_of_model_type(std::string_view model_type) {
    return find(&Family::model_type, model_type);
}

const Family& family_of(const Architecture& architecture) {
    const Family* family = family_of_gguf(architecture.name);
    if (!family) throw Error(ErrorKind::kInternal, fmt::format("no family is called \"{}\"", architecture.name));
    return *family;
}

const Family& family_of_config(const nlohmann::json& config) {
    const std::string type = text_field(config, "model_type").value_or("");
    if (const Family* family = family_of_model_type(type)) return *family;
    throw Error(ErrorKind::kMalformed, fmt::format("model_type: got \"{}\"; this program knows {} in Hugging Face "
                                                   "folders",
                                                   type, known_model_types()));
}

std::string known_gguf_architectures() {
    return names(&Family::gguf);
}

std::string known_model_types() {
    return names(&Family::model_type);
}

std::string supported_architectures() {
    return known_gguf_architectures();
}

}  // namespace plasticity
