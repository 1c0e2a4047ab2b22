#include "cli/commands/quota_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <vector>

#include "account/quota_inquiry.hpp"
#include "cli/inquiry.hpp"
#include "cli/settings/relay_setup.hpp"
#include "cli/views/quota_report.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

std::string listed(const std::vector<std::string>& answers, std::size_t from = 0) {
  std::string list;
  for (; from < answers.size(); ++from) list += (list.empty() ? "" : "; ") + answers[from];
  return list;
}

std::string why_none(const account::quota_inquiry& inquiry, const relay_member& member) {
  if (inquiry.trouble() != exchange_end::how::complete) {
    return fmt::format("{} cannot be asked: {}; check --base-url and the way there",
                       name_of(member), inquiry.said().back());
  }
  return fmt::format("{} does not tell the quota of this key: {}; check --base-url and the key",
                     name_of(member), listed(inquiry.said()));
}

// The log as a document and as lines, null and none where the relay shows it to nobody.
asio::awaitable<void> add_log(account::quota_inquiry& inquiry, const relay_member& member,
                              relay_told& told) {
  const std::size_t before = inquiry.said().size();
  const auto log = co_await inquiry.ask_log();
  auto& place = (*told.document)["log"];
  if (log) {
    place = log_document(*log);
    told.lines += "\n" + log_lines(*log);
  } else {
    spdlog::warn("{} shows no log of this key: {}", name_of(member),
                 listed(inquiry.said(), before));
  }
}

asio::awaitable<void> ask_quota(relay_inquiry& relay, const clock& time, const relay_member& member,
                                bool with_log, relay_told& told) {
  account::quota_inquiry inquiry(relay, time);
  const auto quota = co_await inquiry.ask();
  told.end = inquiry.trouble();
  if (quota) {
    told.document = quota_document(*quota);
    told.lines = quota_lines(*quota, name_of(member));
    if (with_log) co_await add_log(inquiry, member, told);
  } else {
    told.why_not = why_none(inquiry, member);
  }
}

}  // namespace

void add_quota_command(CLI::App& program, int& exit_status) {
  struct state {
    inquiry_settings chosen;
    bool log = false;
    settings flags{table(), run_tables(chosen.run)};
    std::string config;

    std::vector<setting> table() {
      auto entries = inquiry_flags(chosen);
      entries.push_back({.name = "log",
                         .help = "Also tell what the key was billed for, call by call",
                         .group = "Log",
                         .apply = [this](const std::string& on) { log = parse_switch(on); },
                         .in_config = false});
      return entries;
    }
  };
  auto kept = std::make_shared<state>();
  auto* command =
      program.add_subcommand("quota", "Tell what a key was granted, has used and has left");
  command->add_option("--config", kept->config, "Config file (./sluice.toml)")->type_name("FILE");
  kept->flags.add_to(*command);
  command->footer(
      "Asks the routes that relays have for it, one after another, and says which of them told "
      "it.\n"
      "An exhausted key is an answer. Some relays show the totals of the account for each of its\n"
      "keys. Of several [[relay]] tables each is asked, and told by its name.\n"
      "Exit status: 0 told, 1 some relays of several did not tell, 2 cannot start, 3 not told.\n"
      "\n"
      "Examples:\n"
      "  sluice quota --simulate\n"
      "  OPENAI_API_KEY=... sluice quota --base-url https://relay.example/v1\n"
      "  sluice quota --log --json | jq '.log[] | select(.served_model)'\n"
      "  sluice quota --relay blue");
  command->callback([kept, &exit_status] {
    read_settings(kept->flags, kept->config, kept->chosen.run);
    // A rehearsal's key that has no limit would have little to show.
    kept->chosen.simulated_balance = simulator::usd::parse("100");
    exit_status = ask_relays(kept->chosen,
                             [with_log = kept->log](relay_inquiry& relay, const clock& time,
                                                    const relay_member& member, relay_told& told) {
                               return ask_quota(relay, time, member, with_log, told);
                             });
  });
}

}  // namespace sluice::cli
