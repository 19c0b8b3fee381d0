#include <memory>
#include <nlohmann/json.hpp>

#include "api/outputs.h"
#include "cli/command.h"
#include "report/report_page.h"

namespace plasticity {
namespace {

struct ReportCommand {
    CommonOptions common;
    std::filesystem::path folder;
    std::filesystem::path output;
};

void run_report(const ReportCommand& command) {
    const std::filesystem::path page = command.output.empty() ? command.folder / "report.html" : command.output;
    require_outputs({.inputs = {command.folder / "model.gguf"}, .outputs = {page}}, command.common.overwrite());
    write_text_file(page, report_page(load_run_record(command.folder)), command.common.overwrite());
    if (command.common.json)
        print_json({{"reportPath", page.string()}});
    else
        print_line(page.string());
}

}  // namespace

void add_report_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ReportCommand>();
    CLI::App* app = program.add_subcommand(
        "report", "A page of HTML of what run or tune made: quality, heads, types, bytes, samples, every reason");
    app->add_option("folder", command->folder, "Folder that run or tune wrote")->required();
    app->add_option("-o,--output", command->output, "Page to write; default: report.html in that folder");
    add_common_options(*app, command->common);
    app->callback([command] { run_report(*command); });
}

}  // namespace plasticity
