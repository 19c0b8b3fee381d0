#pragma once

// The program under test while it runs: to send it signals, and to give it environment variables.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "support/file_content.h"
#include "support/subprocess.h"

namespace plasticity::test {

using Environment = std::vector<std::pair<std::string, std::string>>;

class RunningProgram {
public:
    /// @param scratch  for its output streams; two files are left there
    RunningProgram(const std::vector<std::string>& arguments, const std::filesystem::path& scratch,
                   const Environment& environment = {})
        : out_(scratch / "running.out"), err_(scratch / "running.err") {
        const std::string program = require_environment("PLASTICITY_TEST_PROGRAM");
        std::vector<char*> argv{const_cast<char*>(program.c_str())};
        for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        pid_ = fork();
        if (pid_ != 0) return;
        for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
        redirect("/dev/null", O_RDONLY, STDIN_FILENO);
        redirect(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
        redirect(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        execv(argv[0], argv.data());
        _exit(127);
    }
    ~RunningProgram() {
        if (pid_ <= 0) return;
        send(SIGKILL);
        wait();
    }
    RunningProgram(const RunningProgram&) = delete;
    RunningProgram& operator=(const RunningProgram&) = delete;

    void send(int signal) const { kill(pid_, signal); }

    /// Ended by a signal: exit_code is −1 and `signal` tells which.
    Finished wait() {
        int status = 0;
        waitpid(std::exchange(pid_, -1), &status, 0);
        signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return {.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                .out = read_bytes(out_),
                .err = read_bytes(err_)};
    }
    int signal() const { return signal_; }

private:
    static void redirect(const char* path, int flags, int to) {
        const int descriptor = open(path, flags, 0600);
        dup2(descriptor, to);
        close(descriptor);
    }
    std::filesystem::path out_, err_;
    pid_t pid_ = -1;
    int signal_ = 0;
};

}  // namespace plasticity::test
