#include "cli/commands/quota_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <vector>

#include "account/quota_inquiry.hpp"
#include "cli/relay_query.hpp"
#include "cli/screen/heading.hpp"
#include "views/quota_report.hpp"

namespace sluice::cli {
namespace {

namespace asio = boost::asio;

std::string listed(const std::vector<std::string>& answers, std::size_t from = 0) {
  std::string list;
  for (; from < answers.size(); ++from) {
    if (!list.empty()) list += "; ";
    list += answers[from];
  }
  return list;
}

std::string why_none(const account::quota_inquiry& inquiry, const relay_member& member) {
  if (inquiry.trouble() != exchange_end::how::complete) {
    return fmt::format("{} cannot be reached: {}; check --base-url and the network",
                       name_of(member), inquiry.answers().back());
  }
  return fmt::format("{} does not show the quota of this key: {}; check --base-url and the key",
                     name_of(member), listed(inquiry.answers()));
}

// Adds the usage log to the document and to the lines; null if the relay does not show it.
asio::awaitable<void> add_log(account::quota_inquiry& inquiry, const relay_member& member,
                              relay_reply& reply) {
  const std::size_t before = inquiry.answers().size();
  const auto log = co_await inquiry.ask_log();
  auto& place = (*reply.document)["log"];
  if (log) {
    place = log_document(*log);
    reply.lines += '\n';
    reply.lines += log_lines(*log);
  } else {
    spdlog::warn("{} shows no log of this key: {}", name_of(member),
                 listed(inquiry.answers(), before));
  }
}

asio::awaitable<void> ask_quota(relay_inquiry& relay, const clock& time, const relay_member& member,
                                bool with_log, relay_reply& reply) {
  account::quota_inquiry inquiry(relay, time);
  const auto quota = co_await inquiry.ask();
  reply.end = inquiry.trouble();
  if (quota) {
    reply.document = quota_document(*quota);
    reply.lines = quota_lines(*quota, name_of(member));
    if (with_log) co_await add_log(inquiry, member, reply);
  } else {
    reply.why_not = why_none(inquiry, member);
  }
}

}  // namespace

command quota_command() {
  struct state {
    query_settings chosen;
    bool log = false;
  };
  auto kept = std::make_shared<state>();
  auto table = query_flags(kept->chosen);
  table.push_back({.name = "log",
                   .group = "Log",
                   .short_help = "Also show what the key was billed for, call by call",
                   .long_help =
                       "Adds the usage log of the key: time, model, tokens and cost of each "
                       "call. Not every relay shows it.",
                   .apply = [kept](const std::string& on) { kept->log = parse_switch(on); },
                   .in_config = false});
  const auto flags = std::make_shared<settings>(std::move(table), run_tables(kept->chosen.run));
  return {
      .name = "quota",
      .summary = "Show what a key was granted, has used and has left",
      .description =
          "Tries the routes that relays have for this, one after the other, and says which one "
          "answered. An exhausted key is an answer, too. Some relays show the totals of the "
          "account for each of its keys. With several [[relay]] tables in the config file, each "
          "relay is asked.",
      .common_flags = {"base-url", "api-key-file", "simulate", "relay", "log", "json", "profile"},
      .exit_statuses = {{0, "answered"},
                        {1, "some of several relays did not answer"},
                        {2, "cannot start"},
                        {3, "no answer"},
                        {130, "interrupted"}},
      .examples = {"sluice quota --simulate",
                   "OPENAI_API_KEY=... sluice quota --base-url https://relay.example/v1",
                   "sluice quota --log --json | jq '.log[] | select(.served_model)'",
                   "sluice quota --relay blue"},
      .flags = flags,
      .run =
          [kept, flags] {
            read_settings(*flags, kept->chosen.run);
            // A simulated key without a limit would show little.
            kept->chosen.simulated_balance = simulator::usd::parse("100");
            return query_relays(kept->chosen, [with_log = kept->log](
                                                  relay_inquiry& relay, const clock& time,
                                                  const relay_member& member, relay_reply& reply) {
              return ask_quota(relay, time, member, with_log, reply);
            });
          },
  };
}

}  // namespace sluice::cli
