#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "api/outputs.h"
#include "cli/command.h"
#include "cli/reference.h"
#include "core/error.h"

namespace plasticity {
namespace {

struct ReferenceCommand {
    std::string form, date;
    std::filesystem::path folder;
};

void write_man_pages(const CLI::App& program, const ReferenceCommand& command) {
    if (command.folder.empty())
        throw Error(ErrorKind::kUsage, "reference man: there are several pages; name a folder with -o");
    make_output_folder(command.folder);
    for (const ManPage& page : man_pages(program, command.date))
        write_text_file(command.folder / (page.name + ".1"), page.text, Overwrite::kReplace);
}

std::string completion_of(const CLI::App& program, const std::string& shell) {
    if (shell == "bash") return bash_completion(program);
    return shell == "zsh" ? zsh_completion(program) : fish_completion(program);
}

void run_reference(const CLI::App& program, const ReferenceCommand& command) {
    if (command.form == "man") return write_man_pages(program, command);
    const std::string script = completion_of(program, command.form);
    if (command.folder.empty()) return print_text(script);
    make_output_folder(command.folder);
    write_text_file(command.folder / ("plasticity." + command.form), script, Overwrite::kReplace);
}

}  // namespace

void add_reference_command(CLI::App& program, CommandResult&) {
    auto command = std::make_shared<ReferenceCommand>();
    CLI::App* app = program.add_subcommand("reference", "Writes man pages, or the completions of a shell");
    app->add_option("form", command->form, "What to write")
        ->required()
        ->check(CLI::IsMember({"man", "bash", "zsh", "fish"}));
    app->add_option("-o,--output", command->folder, "Folder to write to; without: scripts to stdout");
    app->add_option("--date", command->date, "Of the man pages, YYYY-MM-DD");
    app->callback([command, &program] { run_reference(program, *command); });
}

}  // namespace plasticity
