#include "io/hub_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <map>

#include "io/file_bytes.h"

namespace plasticity {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;
using test::write_bytes;

const std::string kCommit(40, 'a');
const std::string kOther(40, 'b');

/// A cache as huggingface_hub leaves it: files of a snapshot are links into blobs.
class HubCache : public testing::Test {
protected:
    fs::path repository() const { return cache_ / "models--Org--Tiny-Model"; }
    fs::path snapshot(const std::string& commit = kCommit) const { return repository() / "snapshots" / commit; }

    void set_ref(const std::string& revision, const std::string& content) {
        const fs::path ref = repository() / "refs" / revision;
        fs::create_directories(ref.parent_path());
        write_bytes(ref, content);
    }

    void add_file(const std::string& name, const std::string& content = "{}", const std::string& commit = kCommit) {
        const std::string blob = "blob-of-" + fs::path(name).filename().string();
        fs::create_directories(repository() / "blobs");
        fs::create_directories((snapshot(commit) / name).parent_path());
        write_bytes(repository() / "blobs" / blob, content);
        fs::create_symlink((repository() / "blobs" / blob).lexically_relative((snapshot(commit) / name).parent_path()),
                           snapshot(commit) / name);
    }

    fs::path find(const std::string& name = "Org/Tiny-Model") const {
        return find_in_hub_cache(parse_hub_name(name).value(), cache_);
    }

    void expect_refused(ErrorKind kind, const std::vector<std::string>& parts,
                        const std::string& name = "Org/Tiny-Model") {
        expect_error(kind, parts, [&] { find(name); });
    }

    TempDir dir_;
    fs::path cache_ = dir_ / "hub";
};

TEST(HubName, Parses) {
    const auto plain = parse_hub_name("Qwen/Qwen2.5-Coder-32B-Instruct");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->owner, "Qwen");
    EXPECT_EQ(plain->name, "Qwen2.5-Coder-32B-Instruct");
    EXPECT_EQ(plain->revision, "main");
    EXPECT_EQ(plain->file, "");
    EXPECT_EQ(plain->fetch_command(), "hf download Qwen/Qwen2.5-Coder-32B-Instruct");

    const auto full = parse_hub_name("org/name@refs/pr/1:q4/model@home.gguf");
    ASSERT_TRUE(full);
    EXPECT_EQ(full->revision, "refs/pr/1");
    EXPECT_EQ(full->file, "q4/model@home.gguf");
    EXPECT_EQ(full->fetch_command(), "hf download org/name q4/model@home.gguf --revision refs/pr/1");
}

TEST(HubName, RefusesWhatCannotBeOne) {
    for (const std::string text : {"",
                                   "name",
                                   "/name",
                                   "org/",
                                   "a/b/c",
                                   "../name",
                                   "org/..",
                                   "./name",
                                   "org/.",
                                   "org/a..b",
                                   "org/a--b",
                                   "org/-a",
                                   "org/a-",
                                   "org/.a",
                                   "~/a",
                                   "o rg/name",
                                   "org/na\nme",
                                   "/etc/passwd",
                                   "org/name@",
                                   "org/name:",
                                   "org/name@../x",
                                   "org/name@/x",
                                   "org/name@a//b",
                                   "org/name:../x",
                                   "org/name:/x",
                                   "org/name:a/./b"})
        EXPECT_FALSE(parse_hub_name(text)) << text;
    EXPECT_FALSE(parse_hub_name(std::string("org/na\0me", 9)));
    EXPECT_FALSE(parse_hub_name(std::string("org/name@a\0b", 12)));
    EXPECT_FALSE(parse_hub_name("org/" + std::string(100, 'x')));
    EXPECT_FALSE(parse_hub_name("org/name@" + std::string(256, 'x')));
    EXPECT_FALSE(parse_hub_name("org/name:" + std::string(2000, 'x')));
}

TEST(HubCacheFolder, FollowsTheEnvironment) {
    std::map<std::string, std::string> before;
    const std::vector<const char*> names{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};
    for (const char* name : names)
        if (const char* value = getenv(name)) before[name] = value;
    setenv("HF_HUB_CACHE", "/hub", 1);
    setenv("HF_HOME", "~/hf", 1);
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    setenv("HOME", "/home/me", 1);
    EXPECT_EQ(hub_cache_folder(), "/hub");
    setenv("HF_HUB_CACHE", "", 1);  // set but empty counts as not set
    EXPECT_EQ(hub_cache_folder(), "/home/me/hf/hub");
    unsetenv("HF_HOME");
    EXPECT_EQ(hub_cache_folder(), "/xdg/huggingface/hub");
    unsetenv("XDG_CACHE_HOME");
    EXPECT_EQ(hub_cache_folder(), "/home/me/.cache/huggingface/hub");
    for (const char* name : names) unsetenv(name);
    for (const auto& [name, value] : before) setenv(name.c_str(), value.c_str(), 1);
}

TEST_F(HubCache, FindsAFolderOfSafetensors) {
    set_ref("main", kCommit);
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) add_file(name);
    EXPECT_EQ(find(), snapshot());
    EXPECT_EQ(model_name_of_folder(find()), "Tiny-Model");
    EXPECT_EQ(model_name_of_folder(dir_ / "folder"), "folder");
    add_file("extra.gguf");  // the safetensors stay what is meant
    EXPECT_EQ(find(), snapshot());
    EXPECT_EQ(find("Org/Tiny-Model:extra.gguf"), snapshot() / "extra.gguf");
}

TEST_F(HubCache, FindsTheOneGguf) {
    set_ref("main", kCommit + "\n");
    add_file("README.md");
    add_file("config.json");  // many repositories of GGUF files carry one
    add_file("q4/model.gguf", "GGUF");
    EXPECT_EQ(find(), snapshot() / "q4/model.gguf");
}

TEST_F(HubCache, FollowsRevisions) {
    set_ref("main", kCommit);
    add_file("main.gguf");
    set_ref("refs/pr/1", kOther);
    add_file("pr.gguf", "GGUF", kOther);
    EXPECT_EQ(find("Org/Tiny-Model@refs/pr/1"), snapshot(kOther) / "pr.gguf");
    EXPECT_EQ(find("Org/Tiny-Model@" + kOther), snapshot(kOther) / "pr.gguf");
    expect_refused(ErrorKind::kMissing, {"refs/v2", kCommit, kOther, "hf download Org/Tiny-Model --revision v2"},
                   "Org/Tiny-Model@v2");
}

TEST_F(HubCache, ListsSeveralGgufs) {
    set_ref("main", kCommit);
    add_file("b.gguf");
    add_file("a.gguf");
    expect_refused(ErrorKind::kUsage, {"2 GGUF files: a.gguf, b.gguf", "Org/Tiny-Model:a.gguf"});
    EXPECT_EQ(find("Org/Tiny-Model:b.gguf"), snapshot() / "b.gguf");
    expect_refused(ErrorKind::kMissing, {"c.gguf", "hf download Org/Tiny-Model c.gguf"}, "Org/Tiny-Model:c.gguf");
}

TEST_F(HubCache, SaysWhereItLookedAndHowToFetch) {
    expect_refused(ErrorKind::kMissing, {repository().string(), "hf download Org/Tiny-Model"});
}

TEST_F(HubCache, RefusesHostileRefs) {
    add_file("model.gguf");
    for (const std::string& content :
         {std::string("../../../../etc"), std::string("/etc"), std::string(), std::string(40, '.'),
          std::string(40, 'A'), std::string(39, 'a'), std::string(40, '\0'), kCommit + "/..",
          kCommit + std::string("\0x", 2), std::string(1 << 16, 'a')}) {
        set_ref("main", content);
        expect_refused(ErrorKind::kMalformed, {"refs/main"});
    }
    fs::remove(repository() / "refs" / "main");
    ASSERT_EQ(mkfifo((repository() / "refs" / "main").c_str(), 0600), 0);
    expect_refused(ErrorKind::kMalformed, {"refs/main", "pipe"});
    fs::remove(repository() / "refs" / "main");
    fs::create_directory(repository() / "refs" / "main");
    expect_refused(ErrorKind::kMalformed, {"refs/main", "folder"});
}

TEST_F(HubCache, ReportsWhatADownloadLacks) {
    set_ref("main", kCommit);
    expect_refused(ErrorKind::kMissing, {"in part", kCommit, "hf download Org/Tiny-Model"});
    add_file("config.json");
    write_bytes(repository() / "blobs" / "1234.incomplete", "half");
    expect_refused(ErrorKind::kMissing, {"lacks model.safetensors", "1 unfinished downloads"});
    add_file("model.safetensors.index.json",
             R"({"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
    add_file("model-00001-of-00002.safetensors");
    expect_refused(ErrorKind::kMissing, {"lacks model-00002-of-00002.safetensors"});
    add_file("model-00002-of-00002.safetensors");
    EXPECT_EQ(find(), snapshot());
    for (const char* lost : {"tokenizer.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"}) {
        if (!fs::exists(snapshot() / lost)) add_file(lost);
        fs::rename(repository() / "blobs" / ("blob-of-" + std::string(lost)), dir_ / "away");
        expect_refused(ErrorKind::kMissing, {"lacks", lost});
        fs::rename(dir_ / "away", repository() / "blobs" / ("blob-of-" + std::string(lost)));
    }
}

TEST_F(HubCache, ReportsAGgufWithoutItsBlob) {
    set_ref("main", kCommit);
    add_file("model.gguf");
    fs::remove(repository() / "blobs" / "blob-of-model.gguf");
    expect_refused(ErrorKind::kMissing, {"model.gguf links to nothing"});
    expect_refused(ErrorKind::kMissing, {"model.gguf links to nothing"}, "Org/Tiny-Model:model.gguf");
}

}  // namespace
}  // namespace plasticity
