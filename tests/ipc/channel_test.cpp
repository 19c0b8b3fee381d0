#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "ipc/child_process.h"
#include "ipc/client_channel.h"
#include "ipc/dispatcher.h"
#include "ipc/unix_socket.h"
#include "support/expect_error.h"
#include "support/file_content.h"
#include "support/temp_dir.h"

namespace plasticity {
namespace {

using nlohmann::json;

/// A channel and the client's end of it.
struct Ends {
    explicit Ends(const IpcLimits& limits) {
        std::array<int, 2> pair{};
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
        client = pair[0];
        channel = std::make_unique<ClientChannel>(pair[1], pair[1], ClientChannel::Owned::kYes, limits);
    }
    ~Ends() {
        if (client >= 0) close(client);
    }
    void send(std::string_view text) const {
        EXPECT_EQ(write(client, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    std::vector<std::string> read_lines(int* n_too_long = nullptr) const {
        std::vector<std::string> lines;
        channel->read([&](std::string_view line) { lines.emplace_back(line); },
                      [&] {
                          if (n_too_long != nullptr) ++*n_too_long;
                      });
        return lines;
    }
    std::string receive() const {
        std::string text(1 << 16, '\0');
        const ssize_t n = read(client, text.data(), text.size());
        text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return text;
    }

    int client = -1;
    std::unique_ptr<ClientChannel> channel;
};

TEST(ClientChannelTest, CutsLinesHoweverTheyArrive) {
    const IpcLimits limits;
    const Ends ends(limits);
    ends.send("one\ntw");
    EXPECT_EQ(ends.read_lines(), std::vector<std::string>{"one"});
    ends.send("o\n\n  \nthree\n");
    EXPECT_EQ(ends.read_lines(), (std::vector<std::string>{"two", "three"}));
}

TEST(ClientChannelTest, SkipsALineThatIsTooLongToItsEnd) {
    IpcLimits limits;
    limits.request_bytes = 10;
    const Ends ends(limits);
    int too_long = 0;
    for (int i = 0; i < 3; ++i) {
        ends.send("xxxxxxxx");
        EXPECT_TRUE(ends.read_lines(&too_long).empty());
    }
    ends.send("x\nshort\n");
    EXPECT_EQ(ends.read_lines(&too_long), std::vector<std::string>{"short"});
    EXPECT_EQ(too_long, 1);
}

TEST(ClientChannelTest, LeavesOutProgressForSlowClientsAndHangsUpInTheEnd) {
    IpcLimits limits;
    limits.unread_notes = 100;
    limits.unread_bytes = 300;
    const Ends ends(limits);
    for (int i = 0; i < 100; ++i) ends.channel->note("0123456789\n");
    ends.channel->answer("answer\n");
    ends.channel->write();
    const std::string got = ends.receive();
    EXPECT_EQ(got.size(), 9 * 11 + 7u);
    EXPECT_TRUE(got.ends_with("answer\n"));
    EXPECT_FALSE(ends.channel->is_finished());
    ends.channel->answer(std::string(400, 'x'));
    EXPECT_TRUE(ends.channel->is_finished());
}

TEST(ClientChannelTest, IsFinishedWhenTheClientHasLeftAndNothingWaits) {
    const IpcLimits limits;
    Ends ends(limits);
    ends.channel->waiting.emplace(1, json(1));
    close(std::exchange(ends.client, -1));
    ends.read_lines();
    EXPECT_FALSE(ends.channel->is_finished());
    ends.channel->waiting.clear();
    EXPECT_TRUE(ends.channel->is_finished());
}

/// Requests to a queue of jobs that end at once.
class Dispatching : public testing::Test {
protected:
    Dispatching()
        : queue_(
              JobStore({}), limits_,
              {.work = [](const Job&, const MethodHooks&) { return MethodResult{.data = {{"a", 1}}, .exit_code = 0}; },
               .on_event = [](const JobEvent&) {},
               .note = [](const std::string&) {}}),
          dispatcher_(queue_, limits_, false),
          ends_(limits_) {}

    /// @returns the last line of the answer
    json ask(const std::string& method, const json& params = json::object()) {
        dispatcher_.take_line(*ends_.channel,
                              json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}.dump());
        while (ends_.channel->wants_to_write()) ends_.channel->write();
        std::string text = ends_.receive();
        if (text.empty()) return nullptr;
        text.pop_back();
        return json::parse(text.substr(text.rfind('\n') + 1));
    }
    int code(const std::string& method, const json& params = json::object()) {
        return ask(method, params).at("error").at("code");
    }

    IpcLimits limits_;
    JobQueue queue_;
    IpcDispatcher dispatcher_;
    Ends ends_;
};

TEST_F(Dispatching, QueuesJobsAndAnswersWhenTheyAreOver) {
    const json queued = ask("plasticity/topology", {{"modelPath", "/m"}});
    EXPECT_EQ(queued["method"], "plasticity/progress");
    EXPECT_EQ(queued["params"], json::parse(R"({"jobId":1,"id":1,"event":"queued"})"));
    EXPECT_EQ(ask("plasticity/jobs")["result"]["jobs"][0]["state"], "queued");
    Job job = queue_.find(1).value();
    job.state = JobState::kFailed;
    job.exit_code = 3;
    job.error = "not there";
    IpcDispatcher::tell(*ends_.channel, {.job = job, .progress = nullptr});
    ends_.channel->write();
    const std::string text = ends_.receive();
    const json answer = json::parse(text.substr(text.find('\n') + 1));
    EXPECT_EQ(answer["error"], json::parse(R"({"code":-32003,"message":"not there","data":{"jobId":1,"exitCode":3}})"));
    EXPECT_TRUE(ends_.channel->waiting.empty());
}

TEST_F(Dispatching, RefusesWhatItDoesNotKnow) {
    EXPECT_EQ(code("plasticity/nothing"), kRpcMethodNotFound);
    EXPECT_EQ(code("plasticity/topology"), kRpcInvalidParams);
    EXPECT_EQ(code("plasticity/topology", {{"modelPath", "a b/c"}}), kRpcInvalidParams);
    EXPECT_EQ(code("plasticity/jobs", {{"more", 1}}), kRpcInvalidParams);
    EXPECT_EQ(code("plasticity/job", {{"jobId", "1"}}), kRpcInvalidParams);
    EXPECT_EQ(code("plasticity/job", {{"jobId", 9}}), kRpcNoSuchJob);
    EXPECT_EQ(code("plasticity/pipeline", {{"pipelinePath", "/p"}, {"allowShell", true}}), kRpcInvalidParams);
    EXPECT_FALSE(dispatcher_.is_shutting_down());
}

TEST_F(Dispatching, BoundsRequestsThatWait) {
    for (std::size_t i = 0; i < limits_.waiting; ++i) ask("plasticity/topology", {{"modelPath", "/m"}});
    EXPECT_EQ(code("plasticity/topology", {{"modelPath", "/m"}}), kRpcQueueFull);
}

TEST_F(Dispatching, CancelsAndShowsJobs) {
    ask("plasticity/topology", {{"modelPath", "/m"}});
    EXPECT_EQ(ask("plasticity/cancel", {{"jobId", 1}})["result"]["cancelled"], true);
    EXPECT_EQ(ask("plasticity/job", {{"jobId", 1}})["result"]["state"], "cancelled");
    EXPECT_EQ(ask("plasticity/attach", {{"jobId", 1}})["error"]["code"], kRpcCancelled);
    EXPECT_GT(ask("plasticity/methods")["result"]["methods"].size(), 6u);
    ask("plasticity/shutdown");
    EXPECT_TRUE(dispatcher_.is_shutting_down());
}

TEST(UnixListenerTest, IsForThisUserAloneAndEndsWithItsName) {
    const test::TempDir dir;
    const auto path = dir / "s";
    {
        const UnixListener listener(path);
        struct stat status{};
        ASSERT_EQ(lstat(path.c_str(), &status), 0);
        EXPECT_TRUE(S_ISSOCK(status.st_mode));
        EXPECT_EQ(status.st_mode & 0777, 0600u);
        const int connection = connect_to(path);
        EXPECT_GE(listener.accept(), 0);
        close(connection);
        test::expect_error(ErrorKind::kUsage, {"a server listens there"}, [&] { UnixListener other(path); });
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    test::expect_error(ErrorKind::kMissing, {"plasticity ipc --socket"}, [&] { connect_to(path); });
}

TEST(UnixListenerTest, ReplacesWhatNobodyListensOnAndNothingElse) {
    const test::TempDir dir;
    const int left = socket(AF_UNIX, SOCK_STREAM, 0);
    {
        const UnixListener listener(dir / "s");
        std::filesystem::create_hard_link(dir / "s", dir / "stale");
    }
    close(left);
    {
        const UnixListener listener(dir / "stale");
    }
    test::write_bytes(dir / "file", "keep");
    test::expect_error(ErrorKind::kUsage, {"is no socket"}, [&] { UnixListener other(dir / "file"); });
    EXPECT_EQ(test::read_bytes(dir / "file"), "keep");
    test::expect_error(ErrorKind::kUsage, {"shorter"}, [&] { UnixListener other(dir / std::string(120, 'x')); });
    test::expect_error(ErrorKind::kIo, {"create the folder"}, [&] { UnixListener other(dir / "absent/s"); });
}

ChildEnd shell(const std::string& line, std::vector<std::string>& errors, const std::function<bool()>& stopped) {
    return run_child(
        {.program = "/bin/sh", .arguments = {"-c", line}, .folder = "/", .environment = {{"NAME", "v"}}},
        [&](std::string_view text) { errors.emplace_back(text); }, stopped);
}

TEST(ChildProcess, GivesOutputsAndExitCode) {
    std::vector<std::string> errors;
    const ChildEnd end =
        shell("pwd; echo $NAME; echo one >&2; printf two >&2; cat; exit 3", errors, [] { return false; });
    EXPECT_EQ(end.exit_code, 3);
    EXPECT_EQ(end.out, "/\nv\n");
    EXPECT_EQ(errors, (std::vector<std::string>{"one", "two"}));
}

TEST(ChildProcess, IsEndedWithAllThatItStarted) {
    std::vector<std::string> errors;
    const ChildEnd end = shell("echo ready >&2; sleep 100 & wait", errors, [&] { return !errors.empty(); });
    EXPECT_EQ(end.signal, SIGTERM);
    EXPECT_EQ(end.exit_code, 143);
}

TEST(ChildProcess, ThatCannotBeStartedSaysWhy) {
    std::vector<std::string> errors;
    const ChildEnd end = run_child(
        {.program = "/no/such/program", .arguments = {}, .folder = {}, .environment = {}},
        [&](std::string_view text) { errors.emplace_back(text); }, [] { return false; });
    EXPECT_EQ(end.exit_code, 127);
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_NE(errors[0].find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace plasticity
