#include "artifact/recipe.h"

#include <memory>
#include <string_view>

#include "artifact/output_layout.h"
#include "fuzz_target.h"
#include "support/tiny_model.h"

namespace plasticity::fuzz {
namespace {

const Model& tiny_model() {
    static const std::unique_ptr<Model> model = open_model(test::write_tiny_gguf(scratch_folder() / "tiny.gguf"));
    return *model;
}

}  // namespace

/// The recipe by itself, and the output that a model would be given by it.
void run_recipe(std::span<const std::byte> input) {
    const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
    Recipe recipe;
    const bool is_recipe = accepts({ErrorKind::kMalformed}, [&] { recipe = recipe_from_json(text, "recipe.json"); });
    if (!is_recipe) return;
    require(recipe_to_json(recipe_from_json(recipe_to_json(recipe), "again")) == recipe_to_json(recipe),
            "a recipe is written as it was read");
    accepts({ErrorKind::kMalformed}, [&] {
        require_recipe_fits(recipe, tiny_model().architecture(), "recipe.json");
        require(lay_out(tiny_model(), recipe, {}).file.file_bytes() > 0, "a layout has a size");
    });
}

}  // namespace plasticity::fuzz
