#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "api/outputs.h"
#include "artifact/adapted_model.h"
#include "cli/command.h"
#include "model/gguf_export.h"
#include "model/hf_export.h"
#include "model/model.h"

namespace plasticity {
namespace {

struct ExportCommand {
    CommonOptions common;
    std::filesystem::path model;
    std::string format;
    std::string dtype;
    std::filesystem::path output;
    std::optional<std::filesystem::path> adapter;
};

void run_export(const ExportCommand& command) {
    const auto progress = command.common.progress();
    if (command.format == "gguf")  // a folder is checked where it is staged, before anything else is done
        require_outputs({.inputs = {command.model}, .outputs = {command.output}}, command.common.overwrite());
    const auto model = open_model(command.model, command.adapter);
    const Overwrite overwrite = command.common.overwrite();
    if (command.format == "hf") {
        HfExportOptions options{.folder = command.output, .overwrite = overwrite};
        if (!command.dtype.empty()) options.dtype = command.dtype;
        export_hf(*model, options, *progress);
    } else {
        GgufExportOptions options{.file = command.output, .overwrite = overwrite};
        if (!command.dtype.empty()) options.type = command.dtype;
        export_gguf(*model, options, *progress);
    }
    if (command.common.json)
        print_json({{"output", command.output.string()}, {"format", command.format}});
    else
        print_line(fmt::format("{}: written", command.output.string()));
}

}  // namespace

void add_export_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ExportCommand>();
    CLI::App* app = program.add_subcommand("export", "Writes a model as a Hugging Face folder or as a GGUF, unpruned");
    app->add_option("model", command->model, kModelHelp)->required();
    app->add_option("--format", command->format, "hf or gguf")->required()->check(CLI::IsMember({"hf", "gguf"}));
    app->add_option("--dtype", command->dtype, "hf: bf16 (default), f16, f32; gguf: stored (default), f16, bf16, f32");
    app->add_option("--adapter", command->adapter, "PEFT folder that is merged into the weights");
    app->add_option("-o,--output", command->output, "Folder or file to write")->required();
    add_common_options(*app, command->common);
    app->callback([command] { run_export(*command); });
}

}  // namespace plasticity
