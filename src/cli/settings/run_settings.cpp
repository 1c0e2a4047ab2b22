#include "cli/settings/run_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/algorithm/string/predicate.hpp>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <type_traits>
#include <utility>

#include "cli/settings/api_key.hpp"
#include "cli/settings/expectation.hpp"
#include "sluice/error.hpp"

namespace sluice::cli {
namespace {

std::string read_key_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || content.bad()) {
    throw bad_setting("cannot be read; write the key into its first line");
  }
  return key_in_file(content.str());
}

unsigned parse_mode(const std::string& text) {
  unsigned mode = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, mode, 8);
  constexpr unsigned owner = 0600;
  if (error != std::errc() || stop != end || mode > 0777 || (mode & owner) != owner) {
    throw bad_setting(fmt::format(
        "'{}' is not a mode that lets the owner read and write; write it like 0600 or 0640", text));
  }
  return mode;
}

usd parse_budget(const std::string& text) {
  const auto amount = usd::parse(text);
  if (!amount)
    throw bad_setting(fmt::format("'{}' is not an amount in USD; write it like 2.50", text));
  return *amount;
}

std::int64_t parse_reply_limit(const std::string& text) {
  constexpr std::uint64_t most_tokens = 100'000'000;
  const std::uint64_t tokens = parse_count(text, most_tokens);
  if (tokens == 0) throw bad_setting("takes a number above zero");
  return static_cast<std::int64_t>(tokens);
}

std::pair<std::string, std::string> parse_header(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0) {
    throw bad_setting("not a header; write it like 'X-Team: blue'");
  }
  const std::size_t value = std::min(text.find_first_not_of(' ', colon + 1), text.size());
  return {text.substr(0, colon), text.substr(value)};
}

// Takes the headers of one source of settings after the other. A header replaces those of its name
// from weaker sources.
class header_taker {
 public:
  explicit header_taker(relay_options& relay) : relay_(relay) {}

  void begin_source() { weaker_ = relay_.headers.size(); }
  void take(const std::string& text) {
    auto header = parse_header(text);
    auto& all = relay_.headers;
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(weaker_);
    const auto kept = std::remove_if(all.begin(), end, [&](const auto& other) {
      return boost::algorithm::iequals(other.first, header.first);
    });
    weaker_ -= static_cast<std::size_t>(end - kept);
    all.erase(kept, end);
    all.push_back(std::move(header));
  }

 private:
  relay_options& relay_;
  std::size_t weaker_ = 0;  // number of headers from weaker sources; these stand first
};

endpoint parse_endpoint(const std::string& text) {
  for (const auto target : {endpoint::chat_completions, endpoint::completions, endpoint::embeddings,
                            endpoint::responses}) {
    const std::string_view path = to_string(target);
    if (text == path || text == path.substr(1) || text == path.substr(4)) return target;
  }
  throw bad_setting("must be one of chat/completions, completions, embeddings, responses");
}

// A setting that accepts a list of words. It writes the value of the given word into `place`.
template <typename Enum>
setting choice(setting entry, Enum& place,
               std::vector<std::pair<std::string, std::type_identity_t<Enum>>> words) {
  for (const auto& [word, value] : words) entry.choices.push_back(word);
  entry.apply = [&place, words = std::move(words)](const std::string& given) {
    std::string list;
    for (const auto& [word, value] : words) {
      if (given == word) {
        place = value;
        return;
      }
      list += (list.empty() ? "" : ", ") + word;
    }
    throw bad_setting("must be one of " + list);
  };
  return entry;
}

constexpr std::string_view config_flag = "config";
constexpr std::string_view profile_flag = "profile";
constexpr const char* general_group = "General";
constexpr const char* address_variable = "OPENAI_BASE_URL";

constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t most_rpm = 1'000'000;
constexpr std::uint64_t most_weight = 1000;
constexpr std::uint64_t most_threads = 256;

unsigned parse_threads(const std::string& given) {
  const auto threads = static_cast<unsigned>(parse_count(given, most_threads));
  if (threads == 0) throw bad_setting("give a number from 1 to 256");
  return threads;
}

}  // namespace

std::string read_secret_file(const std::string& path) {
  std::ifstream file(path);
  std::string secret;
  if (!file || !std::getline(file, secret)) {
    throw bad_setting("cannot be read; write the secret into its first line");
  }
  while (!secret.empty() && (secret.back() == '\r' || secret.back() == ' ')) secret.pop_back();
  if (secret.empty()) throw bad_setting("its first line is empty; write the secret there");
  return secret;
}

std::vector<setting> run_flags(run_settings& target) {
  auto& relay = target.engine.relay;
  auto& pace = target.engine.pace;
  auto& job = target.engine.job;
  auto& output = target.engine.output;
  const auto text = [](std::string& place) {
    return [&place](const std::string& given) { place = given; };
  };
  const auto on = [](bool& place, bool value = true) {
    return [&place, value](const std::string& given) { place = parse_switch(given) == value; };
  };
  const auto time = [](duration& place) {
    return [&place](const std::string& given) { place = parse_duration(given); };
  };
  const auto count = [](unsigned& place) {
    return [&place](const std::string& given) {
      place = static_cast<unsigned>(parse_count(given, most_rpm));
    };
  };
  const auto size = [](std::uint64_t& place) {
    return [&place](const std::string& given) { place = parse_count(given, most); };
  };
  const auto size_above_zero = [](std::uint64_t& place) {
    return [&place](const std::string& given) {
      const std::uint64_t bytes = parse_count(given, most);
      if (bytes == 0) throw bad_setting("takes a number above zero");
      place = bytes;
    };
  };

  const auto headers = std::make_shared<header_taker>(relay);

  const std::string at_relay = "Relay";
  const std::string at_job = "Job";
  const std::string at_limit = "Limit and retries";
  const std::string at_output = "Results";
  const std::string at_money = "Money";
  const std::string at_end = "End of the run";
  return {
      {.name = "base-url",
       .value = "URL",
       .group = at_relay,
       .short_help = "Address of the relay or API, like https://host/v1",
       .long_help = "Where requests go. https://host, https://host/v1 and https://host/prefix/v1 "
                    "all work: the request address has exactly one /v1. A # at the end means that "
                    "the address is the endpoint itself, and nothing is appended to it.",
       .default_value = "https://api.openai.com/v1",
       .apply = text(relay.base_url),
       .environment = address_variable},
      {.name = "api-key",
       .value = "KEY",
       .group = at_relay,
       .short_help = "API key of the relay",
       .long_help = "There is no flag for it, because every user of the machine can read the flags "
                    "of a process. It is never shown in a log, a message or a page.",
       .apply = [&relay](const std::string& given) { relay.api_key = key_in(given); },
       .environment = "OPENAI_API_KEY",
       .on_line = false,
       .secret = true},
      {.name = "api-key-file",
       .value = "FILE",
       .group = at_relay,
       .short_help = "File with the API key (or set OPENAI_API_KEY)",
       .long_help = "Reads the API key from the first line of this file. It wins over "
                    "OPENAI_API_KEY. Use it where the environment is visible to others. Quotes, "
                    "'Bearer ' and the name of a .env line around the key are left out.",
       .apply = [&relay](const std::string& path) { relay.api_key = read_key_file(path); }},
      {.name = "header",
       .value = "'NAME: VALUE'",
       .group = at_relay,
       .short_help = "Send this header too; may be repeated",
       .long_help = "Adds one header to every request to the relay. May be repeated. Use it for "
                    "relays that want a team name or a second token. A header of the command line "
                    "replaces one of the same name in the config file.",
       .apply = [headers](const std::string& given) { headers->take(given); },
       .repeatable = true,
       .begin_source = [headers] { headers->begin_source(); },
       .secret = true},
      {.name = "simulate",
       .value = "PROFILE",
       .group = at_relay,
       .short_help = "Rehearse against the built-in simulator",
       .long_help = "Starts a simulated relay inside this process: no key, no network, no cost. "
                    "'clean' answers every request, 'faulty' mixes in the failures of real relays, "
                    "and 'slow' takes 2 s to the first token. Without a value it is 'clean'.",
       .choices = {"clean", "faulty", "slow"},
       .apply = [&target](const std::string& profile) { target.simulate = profile; },
       .bare_value = "clean"},
      {.name = "relay",
       .value = "NAME",
       .group = at_relay,
       .short_help = "Use only this one of the [[relay]] tables",
       .long_help = "Where the config file has several [[relay]] tables, uses only the one with "
                    "this name. Without it, all are used.",
       .apply = text(target.only_relay)},
      {.name = "insecure",
       .group = at_relay,
       .short_help = "Do not check the relay's certificate",
       .long_help = "Accepts any TLS certificate. Then an attacker in the network can read the "
                    "key. Use it only for a test relay with a certificate of its own.",
       .apply = on(relay.insecure)},
      {.name = "connect-timeout",
       .value = "TIME",
       .group = at_relay,
       .short_help = "Longest time to connect: name lookup, TCP and TLS",
       .long_help = "An attempt fails when its connection is not open after this time. Name "
                    "lookup, TCP, proxy and TLS count together. Raise it on very slow networks.",
       .default_value = "10s",
       .apply = time(relay.connect_timeout)},
      {.name = "first-byte-timeout",
       .value = "TIME",
       .group = at_relay,
       .short_help = "Longest wait for a stream's first byte",
       .long_help = "A streamed attempt fails when no byte of the reply arrives within this time. "
                    "Raise it for models that think for minutes before they stream.",
       .default_value = "120s",
       .apply = time(relay.first_byte_timeout)},
      {.name = "idle-timeout",
       .value = "TIME",
       .group = at_relay,
       .short_help = "Longest silence in the middle of a reply",
       .long_help =
           "An attempt fails when a reply that has begun stays silent for this time. Raise "
           "it for models that pause for long between tokens.",
       .default_value = "60s",
       .apply = time(relay.idle_timeout)},
      {.name = "timeout",
       .value = "TIME",
       .group = at_relay,
       .short_help = "Longest time for a whole attempt",
       .long_help = "An attempt fails when it is not over after this time, from the start of the "
                    "connection to the last byte. Raise it for very long replies.",
       .default_value = "600s",
       .apply = time(relay.total_timeout)},
      {.name = "max-response-bytes",
       .value = "N",
       .group = at_relay,
       .short_help = "Largest reply to accept, in bytes",
       .long_help = "A longer reply fails with response_too_large. The default is 64 MiB. It "
                    "protects memory against a relay that never stops sending.",
       .default_value = "67108864",
       .apply = size_above_zero(relay.max_response_bytes)},

      {.name = "model",
       .value = "NAME",
       .group = at_job,
       .short_help = "Model for lines that name none",
       .long_help = "Fills in the model of job lines that have none. Lines that name a model keep "
                    "it, unless --override-model is set.",
       .apply = text(job.model)},
      {.name = "override-model",
       .group = at_job,
       .short_help = "Use --model for every line",
       .long_help = "Puts --model in every line, also where the line names another model. Use it "
                    "to run one job with several models.",
       .apply = on(job.override_model)},
      {.name = "system",
       .value = "TEXT",
       .group = at_job,
       .short_help = "System message for lines that have none",
       .long_help = "Adds this system message to chat lines that have none. Other lines are sent "
                    "as they are.",
       .apply = text(job.system)},
      {.name = "max-tokens",
       .value = "N",
       .group = at_job,
       .short_help = "Longest reply of lines that set no limit",
       .long_help = "Adds this limit to lines that set none, under the name that the endpoint and "
                    "the model take. Under a budget it bounds what a request can cost, so that "
                    "more requests go out at once.",
       .apply = [&job](const std::string& given) { job.max_tokens = parse_reply_limit(given); }},
      {.name = "endpoint",
       .value = "PATH",
       .group = at_job,
       .short_help = "Endpoint for lines without a url",
       .long_help = "Job lines without a url go to this endpoint. Without the flag, messages and "
                    "prompts go to chat/completions, and lines with an input go to embeddings or "
                    "responses, depending on the model.",
       .choices = {"chat/completions", "completions", "embeddings", "responses"},
       .apply = [&job](const std::string& given) { job.target = parse_endpoint(given); }},
      {.name = "no-stream",
       .group = at_job,
       .short_help = "Do not ask for streamed replies",
       .long_help = "Sends requests as they are, without stream fields. Results look the same. "
                    "Streamed calls survive relays that cut a silent connection, so use this only "
                    "where a relay cannot stream.",
       .apply = on(job.stream, false)},
      {.name = "stream",
       .group = at_job,
       .short_help = "Ask for streamed replies (this is the default)",
       .long_help = "Asks the relay to stream each reply and puts the pieces together. This is the "
                    "default; the flag is there to win over no-stream in a config file.",
       .apply = on(job.stream)},
      {.name = "no-include-usage",
       .group = at_job,
       .short_help = "Do not ask streams to report their usage",
       .long_help =
           "Leaves stream_options.include_usage out. Then many relays report no usage, and "
           "tokens are estimated. Use it only for relays that refuse the field.",
       .apply = on(job.include_usage, false)},
      {.name = "limit",
       .value = "N",
       .group = at_job,
       .short_help = "Only the first N requests of each job",
       .long_help = "Looks at the first N requests of each job and leaves the rest alone. 0 means "
                    "all. Use it for a trial before the whole job.",
       .default_value = "0",
       .apply = size(job.limit)},
      {.name = "dedup",
       .group = at_job,
       .short_help = "Send equal requests of a job once",
       .long_help =
           "Lines of a job with the same endpoint and body are sent once. The others get a "
           "copy of the result when the run ends, with the custom_id of the line that "
           "was sent in sluice.copied_from. Copies cost nothing. The job must be a file.",
       .apply = on(job.dedup)},
      {.name = "group-prefixes",
       .group = at_job,
       .short_help = "Send prompts that begin alike one after the other",
       .long_help = "Requests for the same model whose prompts begin alike are sent next to each "
                    "other, one of them first and the others once it has its result. So the "
                    "provider writes its prompt cache once for each opening and then reads it. The "
                    "first 2,048 bytes decide, the tools included. The job must be a plain file.",
       .apply = on(job.group_prefixes)},
      {.name = "expect",
       .value = "SHAPE",
       .group = at_job,
       .short_help = "What replies must look like: json, schema[=FILE] or regex=R",
       .long_help =
           "Checks each reply before it counts: 'json' wants one JSON value, 'schema' JSON that "
           "fits "
           "the schema in the request's own response_format, 'schema=FILE' the schema in FILE, and "
           "'regex=R' a text in which the pattern R (RE2) matches. A rejected reply is billed all "
           "the "
           "same: its cost stands in sluice.rejected and in the totals. Its request is sent again; "
           "see --max-rejections.",
       .apply = [&job](const std::string& given) { job.expect = parse_expectation(given); }},
      {.name = "max-rejections",
       .value = "N",
       .group = at_job,
       .short_help = "How often to send again after a rejected reply",
       .long_help =
           "With --expect, a request is sent again up to N times because its reply was "
           "rejected. Then it goes to the errors file with the code reply_rejected and the "
           "last reply. 0 sends nothing again.",
       .default_value = "2",
       .apply = count(job.max_rejections)},
      {.name = "tell-why",
       .group = at_job,
       .short_help = "Tell the model why its reply was rejected",
       .long_help = "With --expect, a request that is sent again gets two more messages: the "
                    "rejected reply, and the reason. Chats and responses have such a conversation; "
                    "completions are sent again as they are. The longer prompt costs more.",
       .apply = on(job.tell_why)},
      {.name = "strict",
       .group = at_job,
       .short_help = "Refuse to start when a line is bad",
       .long_help = "Exits with 2 when any line of a job is bad. Without it, bad lines are written "
                    "to the errors file and the other lines are sent.",
       .apply = on(job.strict)},
      {.name = "max-line-bytes",
       .value = "N",
       .group = at_job,
       .short_help = "Longest line of a job, in bytes",
       .long_help = "A longer line is a bad line. The default is 64 MiB. Raise it for lines with "
                    "very large images.",
       .default_value = "67108864",
       .apply = size_above_zero(job.max_line_bytes)},

      {.name = "rpm",
       .value = "N",
       .group = at_limit,
       .short_help = "Most attempts in any 60 s; 0: no limit",
       .long_help = "The rate limit of the key. At no time do more than N attempts start within "
                    "60 s; all runs of this user with the same key share it. Set it to the limit "
                    "that the relay grants; 0 means no limit.",
       .default_value = "200",
       .apply = count(pace.requests_per_minute)},
      {.name = "tpm",
       .value = "N",
       .group = at_limit,
       .short_help = "Most tokens in any 60 s; 0: no limit",
       .long_help = "The token limit of the key. Tokens are estimated before an attempt and "
                    "corrected by the usage of its reply. Set it where the relay limits tokens; 0 "
                    "means no limit.",
       .default_value = "0",
       .apply = size(pace.tokens_per_minute)},
      {.name = "concurrency",
       .value = "N",
       .group = at_limit,
       .short_help = "Most attempts in flight; 0: no limit",
       .long_help = "At most N attempts are in flight at the same time. Lower it for a relay that "
                    "gets slow under load; raise it where replies are long and --rpm is high. 0 "
                    "means no limit.",
       .default_value = "64",
       .apply = count(pace.concurrency)},
      {.name = "threads",
       .value = "N",
       .group = at_limit,
       .short_help = "Threads that send requests",
       .long_help = "N threads with their own connections work on the jobs together, under one "
                    "limit and one budget, and share --concurrency. One thread sends thousands of "
                    "requests a second; use more if it keeps a processor core busy and the relay "
                    "could serve more.",
       .default_value = "1",
       .apply = [&target](const std::string& given) { target.threads = parse_threads(given); }},
      choice({.name = "pace",
              .value = "KIND",
              .group = at_limit,
              .short_help = "How starts are spread over the minute",
              .long_help = "'burst' starts requests as soon as the limit allows. 'even' starts one "
                           "every 60/N s. Use 'even' for relays that refuse bursts.",
              .default_value = "burst",
              .apply = {}},
             pace.pace, {{"burst", pacing::burst}, {"even", pacing::even}}),
      {.name = "window-margin",
       .value = "TIME",
       .group = at_limit,
       .short_help = "Longest way of a request to the relay",
       .long_help = "The rate limit counts each attempt for this much longer than 60 s, because "
                    "the relay counts a request when it arrives and not when it is sent. Raise it, "
                    "to a minute at most, where the relay refuses requests at the full rate.",
       .default_value = "1s",
       .apply = time(pace.window_margin)},
      {.name = "max-attempts",
       .value = "N",
       .group = at_limit,
       .short_help = "Most attempts for one request",
       .long_help = "A request that failed N times goes to the errors file. Waiting for a rate "
                    "limit and a relay that is down cost no attempt.",
       .default_value = "5",
       .apply = count(pace.max_attempts)},
      {.name = "max-wait",
       .value = "TIME",
       .group = at_limit,
       .short_help = "Stop when the relay asks for a longer wait",
       .long_help = "When the relay says to come back later than this, the run stops with exit "
                    "status 3 and says when to run it again. Raise it to let the run wait.",
       .default_value = "10m",
       .apply = time(pace.max_wait)},
      {.name = "give-up-after",
       .value = "TIME",
       .group = at_limit,
       .short_help = "Stop after this long without a success",
       .long_help = "The run stops with exit status 3 when the relay is down, or refuses all "
                    "requests, for this long. Raise it to sit out a longer outage.",
       .default_value = "10m",
       .apply = time(pace.give_up_after)},
      {.name = "keep-going",
       .group = at_limit,
       .short_help = "Go on when all requests get the same refusal",
       .long_help = "Without it, a job stops with exit status 2 when its first 20 requests are "
                    "refused in the same way, and a run stops with 3 when 30 in a row are, after "
                    "successes: something is wrong with all of them. Use it for jobs where many "
                    "refusals are expected.",
       .apply = on(pace.keep_going)},
      {.name = "grace",
       .value = "TIME",
       .group = at_limit,
       .short_help = "Time for replies in flight after Ctrl-C",
       .long_help = "After the first Ctrl-C nothing new is sent, and what is in flight may finish "
                    "within this time. A second Ctrl-C ends it at once.",
       .default_value = "30s",
       .apply = time(target.grace)},
      {.name = "until",
       .value = "HH:MM",
       .group = at_limit,
       .short_help = "Start nothing more at this time of the day",
       .long_help =
           "At the next time that the local clock shows this, nothing new is sent, and what "
           "is in flight may finish within --grace. The exit status is 3. The same command "
           "continues a job; a benchmark reports what it measured.",
       .apply =
           [&target](const std::string& given) {
             target.closing.until = read_time_of_day(given);
             if (!target.closing.until) {
               throw bad_setting(fmt::format(
                   "'{}' is not a time of the day; write it like 06:00 or 23:30", given));
             }
           }},
      {.name = "deadline",
       .value = "TIME",
       .group = at_limit,
       .short_help = "Start nothing more after this long",
       .long_help =
           "When this time has passed since the start, nothing new is sent, and what is in "
           "flight may finish within --grace. The exit status is 3. With --until, the earlier "
           "of the two counts.",
       .apply =
           [&target](const std::string& given) {
             target.closing.deadline = parse_duration(given);
             if (*target.closing.deadline <= duration{}) {
               throw bad_setting("give a time above zero, like 5h");
             }
           }},
      {.name = "seed",
       .value = "N",
       .group = at_limit,
       .short_help = "Seed of backoff and simulator; 0: a new one",
       .long_help = "The same seed gives the same random waits and the same simulated replies. 0 "
                    "means another seed each time. Set it to repeat a rehearsal.",
       .default_value = "0",
       .apply = size(pace.seed)},

      {.name = "output",
       .letter = 'o',
       .value = "FILE",
       .group = at_output,
       .short_help = "Output file of a single job",
       .long_help = "Results of a single job go to this file, and its errors and totals beside it. "
                    "Standard input needs this or --output-dir.",
       .apply = text(output.output_file),
       .in_config = false},
      {.name = "output-dir",
       .value = "DIR",
       .group = at_output,
       .short_help = "Folder for the results, instead of the job's",
       .long_help =
           "Output, errors and totals of every job stand in this folder; a run creates it. "
           "Without the flag they stand beside the job.",
       .apply = text(output.directory)},
      {.name = "fresh",
       .group = at_output,
       .short_help = "Move earlier results aside and start over",
       .long_help = "Renames the result files of an earlier run and sends every request again. "
                    "The earlier cost still counts for a budget of the job.",
       .apply = on(output.fresh),
       .in_config = false},
      {.name = "retry-failed",
       .group = at_output,
       .short_help = "Also try again what failed for good",
       .long_help = "Sends every request of the errors file again. Without it, only those that "
                    "failed for a passing reason are sent again.",
       .apply = on(output.retry_failed)},
      {.name = "ordered",
       .group = at_output,
       .short_help = "Sort the results by their lines in the job",
       .long_help = "Result lines are written as they complete. With this flag, a job whose "
                    "requests all have their line is sorted at the end, in little memory. The "
                    "disk needs room for the results a second time. If the run ends before, the "
                    "next one with this flag sorts.",
       .apply = on(output.ordered)},
      choice(
          {.name = "durability",
           .value = "WHEN",
           .group = at_output,
           .short_help = "When results must be on disk",
           .long_help = "'each' syncs the disk before every request and after every result, "
                        "'second' at most one second after a result, and 'none' leaves it to the "
                        "system. A crash of the machine "
                        "loses what was not synced; a crash of sluice loses nothing.",
           .default_value = "second",
           .apply = {}},
          output.durable,
          {{"each", durability::each}, {"second", durability::second}, {"none", durability::none}}),
      choice({.name = "changed",
              .value = "WHAT",
              .group = at_output,
              .short_help = "What to do with results of a changed request",
              .long_help = "A run refuses to start when a request was changed, or removed from the "
                           "job, after its result was written. 'redo' sends it again, and 'keep' "
                           "keeps the old result.",
              .apply = {},
              .in_config = false},
             output.changed, {{"redo", on_change::redo}, {"keep", on_change::keep}}),
      {.name = "mode",
       .value = "MODE",
       .group = at_output,
       .short_help = "Permissions of new files, in octal",
       .long_help = "Files that are created get these permissions. The default lets only their "
                    "owner read them, since replies may be private.",
       .default_value = "0600",
       .apply = [&output](const std::string& given) { output.mode = parse_mode(given); }},

      {.name = "prices",
       .value = "FILE|relay",
       .group = at_money,
       .short_help = "Prices on top of the built-in table; may be repeated",
       .long_help =
           "A JSON file of prices, or one from litellm, whose entries replace those of the "
           "built-in table. 'relay' asks the relay for its own price list. May be "
           "repeated; later ones win.",
       .apply = [&target](const std::string& path) { target.engine.price_files.push_back(path); },
       .repeatable = true},
      {.name = "price-multiplier",
       .value = "X",
       .group = at_money,
       .short_help = "Multiply every price by the relay's group ratio",
       .long_help = "Relays often charge a multiple of the official price. Set their group ratio "
                    "here, like 0.8. It does not apply to prices that the relay itself lists.",
       .default_value = "1",
       .apply =
           [&target](const std::string& given) {
             target.engine.price_multiplier = given;
             target.multiplier_given = true;
           }},
      {.name = "price-group",
       .value = "NAME",
       .group = at_money,
       .short_help = "The key's group in the relay's own price list",
       .long_help =
           "Relays list one price ratio for each group of keys. Name the group of your key "
           "where --prices relay would take the wrong one.",
       .default_value = "default",
       .apply = text(target.price_group)},
      {.name = "budget",
       .value = "USD",
       .group = at_money,
       .short_help = "Never spend more than this on the jobs",
       .long_help = "A hard limit on the cost. Each request reserves its worst case before it is "
                    "sent, and a request that does not fit waits or is not sent. All jobs of the "
                    "command share one budget.",
       .apply = [&output](const std::string& given) { output.budget = parse_budget(given); }},
      choice({.name = "budget-mode",
              .value = "SCOPE",
              .group = at_money,
              .short_help = "What the budget counts",
              .long_help = "'job' counts what the jobs have cost since they were first run, and "
                           "'run' counts only this run.",
              .default_value = "job",
              .apply = {}},
             output.scope, {{"job", budget_scope::job}, {"run", budget_scope::run}}),
      {.name = "assume-max-tokens",
       .value = "N",
       .group = at_money,
       .short_help = "Longest reply where nothing else limits it",
       .long_help = "Used for the worst-case cost of a request that sets no token limit and whose "
                    "model has no known one. Under a budget such a request is refused without it.",
       .apply =
           [&output](const std::string& given) {
             output.assume_max_tokens = parse_reply_limit(given);
           }},
      {.name = "tier-default",
       .value = "TIER",
       .group = at_money,
       .short_help = "Your account's service tier",
       .long_help = "The service tier that serves requests whose body names none, 'standard' "
                    "or 'priority' for example. --budget reserves at its prices; without the flag "
                    "it reserves "
                    "at the prices of the priority tier where the model has one. No request is "
                    "changed.",
       .apply =
           [&output](const std::string& given) {
             if (given.empty())
               throw bad_setting("names no service tier; 'standard' is the usual one");
             output.tier_default = given;
           }},

      {.name = "notify",
       .value = "URL",
       .group = at_end,
       .short_help = "Post the totals to this address when the run ends",
       .long_help =
           "A webhook: posts one message when a run ends, whether it is completed, stopped "
           "or interrupted. It is tried up to four times and never changes the exit "
           "status. The addresses of chat robots are secrets, so keep them in a profile.",
       .apply = text(target.notify.url),
       .secret = true},
      choice({.name = "notify-form",
              .value = "FORM",
              .group = at_end,
              .short_help = "Form of the message for --notify",
              .long_help =
                  "'standard' posts JSON with the totals of every job, signed as Standard "
                  "Webhooks where there is a secret. The others post one line of text as the chat "
                  "robots of these products take it; 'feishu' and 'dingtalk' sign it with the "
                  "secret of the robot.",
              .default_value = "standard",
              .apply = {}},
             target.notify.form,
             {{"standard", notify::webhook_form::standard},
              {"feishu", notify::webhook_form::feishu},
              {"dingtalk", notify::webhook_form::dingtalk},
              {"wecom", notify::webhook_form::wecom},
              {"slack", notify::webhook_form::slack}}),
      {.name = "notify-secret",
       .value = "SECRET",
       .group = at_end,
       .short_help = "Secret that signs the message of --notify",
       .long_help = "There is no flag for it, because every user of the machine can read the flags "
                    "of a process.",
       .apply = text(target.notify.secret),
       .environment = "SLUICE_NOTIFY_SECRET",
       .on_line = false,
       .secret = true},
      {.name = "notify-secret-file",
       .value = "FILE",
       .group = at_end,
       .short_help = "File with the secret that signs the message",
       .long_help = "Reads the secret for --notify from the first line of this file. It wins over "
                    "SLUICE_NOTIFY_SECRET. For 'standard' it is base64, mostly with whsec_ before "
                    "it.",
       .apply =
           [&target](const std::string& path) { target.notify.secret = read_secret_file(path); }},

      {.name = "config",
       .value = "FILE",
       .group = general_group,
       .short_help = "Config file, instead of ./sluice.toml",
       .long_help = "Reads this config file. Without the flag it is ./sluice.toml, else "
                    "sluice/config.toml under $XDG_CONFIG_HOME (or ~/.config). Its keys are the "
                    "names of the long flags, and flags and environment win over it.",
       // read_settings() reads it before any setting is applied
       .apply = [](const std::string&) {},
       .in_config = false},
      {.name = "profile",
       .value = "NAME",
       .group = general_group,
       .short_help = "Use the [profile.NAME] table of the config file",
       .long_help = "Applies the keys of this table of the config file as if they were flags: they "
                    "win over the environment and over the rest of the file, and a flag wins over "
                    "them. Use it to keep the settings of nightly jobs in one place.",
       .apply = text(target.profile),
       .in_config = false},
      {.name = "quiet",
       .letter = 'q',
       .group = general_group,
       .short_help = "Show no progress and no summary",
       .long_help =
           "Shows only errors on standard error. Result files and the exit status stay the "
           "same.",
       .apply = on(target.quiet)},
      {.name = "progress",
       .value = "KIND",
       .group = general_group,
       .short_help = "How progress is shown",
       .long_help = "'auto' renews one line on a terminal, and writes a line every 10 s elsewhere. "
                    "'plain' always writes lines. 'json' writes an object every 10 s and one at "
                    "the end, for a program that watches the run. With -q, progress is shown only "
                    "where this flag asks for it.",
       .default_value = "auto",
       .choices = {"auto", "plain", "json", "none"},
       .apply =
           [&target](const std::string& kind) {
             const std::pair<const char*, progress_kind> kinds[] = {
                 {"auto", progress_kind::automatic},
                 {"plain", progress_kind::plain},
                 {"json", progress_kind::json},
                 {"none", progress_kind::none}};
             for (const auto& [word, value] : kinds) {
               if (kind != word) continue;
               target.progress = value;
               target.progress_given = value != progress_kind::automatic;
               return;
             }
             throw bad_setting("must be one of auto, plain, json, none");
           }},
      choice({.name = "color",
              .value = "WHEN",
              .group = general_group,
              .short_help = "When standard error has colours",
              .long_help = "'auto' uses colours on a terminal, unless NO_COLOR is set or TERM is "
                           "'dumb'. They mark failures and the reason of a wait.",
              .default_value = "auto",
              .apply = {}},
             target.colour,
             {{"auto", colour_choice::automatic},
              {"always", colour_choice::always},
              {"never", colour_choice::never}}),
      choice({.name = "lang",
              .value = "LANG",
              .group = general_group,
              .short_help = "Language of the screen",
              .long_help =
                  "Language of progress, summary and the common errors. 'auto' is Chinese where "
                  "LC_ALL, else LC_MESSAGES, else LANG begins with zh and names no encoding but "
                  "UTF-8. Files, JSON, logs and webhooks are always English.",
              .default_value = "auto",
              .apply = {}},
             target.spoken,
             {{"auto", std::nullopt}, {"en", language::english}, {"zh", language::chinese}}),
      {.name = "verbose",
       .letter = 'v',
       .group = general_group,
       .short_help = "Log every failed attempt",
       .long_help = "Logs each failed attempt with its reason and the wait that follows. Use it to "
                    "see why a run is slow.",
       .apply = on(target.verbose)},
      {.name = "json-log",
       .group = general_group,
       .short_help = "Write the log as JSON, one object a line",
       .long_help = "Every line on standard error and in --log-file is a JSON object with time, "
                    "level, run and text. The run is a name for this run of the program. Use it "
                    "where a program collects the log.",
       .apply = on(target.json_log)},
      {.name = "log-file",
       .value = "FILE",
       .group = general_group,
       .short_help = "Write the log to this file as well",
       .long_help =
           "Appends the whole log, with times and with every failed attempt, to this file. "
           "A new file is readable only by its owner.",
       .apply = text(target.log_file)},
  };
}

std::vector<setting> run_flags(run_settings& target, const std::set<std::string>& on_line) {
  auto table = run_flags(target);
  for (auto& entry : table) {
    const bool of_every_command = entry.name == config_flag || entry.name == profile_flag;
    entry.on_line = entry.on_line && (of_every_command || on_line.count(entry.name) > 0);
  }
  return table;
}

usd parse_spending(const std::string& text) {
  const auto amount = usd::parse(text);
  if (!amount || *amount == usd{}) throw bad_setting("give an amount above zero, like 0.50");
  return *amount;
}

setting json_flag(bool& place) {
  return {.name = "json",
          .group = general_group,
          .short_help = "Print one JSON document",
          .long_help =
              "Prints one JSON document on standard output instead of a table. When the "
              "command fails, nothing is printed there.",
          .apply = [&place](const std::string& given) { place = parse_switch(given); },
          .in_config = false};
}

setting html_flag(std::string& place) {
  return {.name = "html",
          .value = "FILE",
          .group = "Report",
          .short_help = "Write an HTML page with plots",
          .long_help =
              "Writes one HTML page with plots that opens in any browser without a "
              "network. An existing file is replaced only if it is such a page.",
          .apply = [&place](const std::string& path) { place = path; },
          .in_config = false};
}

namespace {

std::string read_key_variable(const std::string& name) {
  const char* key = std::getenv(name.c_str());
  if (key == nullptr || *key == '\0') {
    throw bad_setting(fmt::format("the environment has no variable {}; set it to the key", name));
  }
  return key;
}

// Parses the name of a variable. The message does not show the text, which may be a key.
std::string parse_variable(const std::string& name) {
  constexpr std::string_view letters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
  if (name.empty() || name.find_first_not_of(letters) != std::string::npos) {
    throw bad_setting("not the name of a variable; name the one that holds the key");
  }
  return name;
}

// The keys of one [[relay]] table.
std::vector<setting> relay_settings(relay_member& member, key_source& key) {
  return {
      {.name = "name",
       .long_help = "Name of the relay in results, totals and messages, and for --relay. Each "
                    "relay needs one of its own.",
       .apply = [&member](const std::string& given) { member.name = given; }},
      {.name = "base_url",
       .long_help = "Its address, as for --base-url. Needed.",
       .apply = [&member](const std::string& given) { member.relay.base_url = given; }},
      {.name = "api_key_env",
       .long_help =
           "Environment variable with its key. Without it and api_key_file, the relay gets "
           "the key of the command.",
       .apply = [&key](const std::string& name) { key.variable = parse_variable(name); }},
      {.name = "api_key_file",
       .long_help = "File with its key in the first line.",
       .apply = [&key](const std::string& path) { key.file = path; }},
      {.name = "rpm",
       .long_help = "Its own limit, in requests per minute; 0: no limit. Without it, --rpm counts. "
                    "Relays with the same host and key share one limit.",
       .apply =
           [&member](const std::string& given) {
             member.requests_per_minute = static_cast<unsigned>(parse_count(given, most_rpm));
           }},
      {.name = "weight",
       .long_help = "Its share of the requests: a relay with 2 gets twice as many as one with 1, "
                    "which is the default.",
       .apply =
           [&member](const std::string& given) {
             member.weight = static_cast<unsigned>(parse_count(given, most_weight));
           }},
      {.name = "price_multiplier",
       .long_help = "Factor between its prices and those of the list, as for --price-multiplier, "
                    "which counts without it.",
       .apply = [&member](const std::string& given) { member.price_multiplier = given; }},
      {.name = "models",
       .long_help =
           "Its own names for models, like { \"gpt-4\" = \"gpt-4-0613\" }: requests for "
           "the first name are sent to this relay with the second. Results and prices keep "
           "the name of the job.",
       .apply = {},
       .apply_pair = [&member](const std::string& here,
                               const std::string& there) { member.models[here] = there; }},
  };
}

}  // namespace

std::vector<setting_tables> run_tables(run_settings& target) {
  return {{.name = "relay", .begin = [&target] {
             auto& member = target.engine.pool.emplace_back();
             member.relay.base_url.clear();
             return relay_settings(member, target.pool_keys.emplace_back());
           }}};
}

std::vector<std::pair<std::string, std::string>> relay_keys() {
  relay_member member;
  key_source key;
  std::vector<std::pair<std::string, std::string>> rows;
  for (const setting& one : relay_settings(member, key)) rows.emplace_back(one.name, one.long_help);
  return rows;
}

namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

// Decides between a single address and the [[relay]] tables. If a flag or a profile gives an
// address, the pool is not used; the environment variable has no such effect.
void choose_relays(const settings& flags, const std::set<std::string>& in_profile,
                   run_settings& target) {
  const bool by_line = flags.on_line("base-url");
  const bool by_profile = !by_line && in_profile.count("base-url") > 0;
  const bool by_variable = is_set(address_variable);
  if (by_profile && by_variable) {
    target.overruled.push_back(
        fmt::format("base-url of the profile {} is used, not {}: a profile wins over the "
                    "environment, as a flag does",
                    target.profile, address_variable));
  }
  if (by_line && !flags.on_line("relay")) target.only_relay.clear();
  if (by_line || by_profile) {
    target.engine.pool.clear();
    target.pool_keys.clear();
  } else if (by_variable && !target.engine.pool.empty()) {
    target.overruled.push_back(
        fmt::format("the [[relay]] tables of {} are used, not {}: a pool has addresses of its own; "
                    "give --base-url to use one relay instead",
                    target.config_file, address_variable));
  }
}

}  // namespace

void read_settings(const settings& flags, run_settings& target) {
  const auto config = find_config(flags.line_value(config_flag));
  if (config) target.config_file = config->path;
  const auto in_profile = flags.apply(config, flags.line_value(profile_flag));
  choose_relays(flags, in_profile, target);
  if (target.json_log) target.spoken = language::english;  // programs read the output
}

std::uint64_t requests_per_minute(const config& options) {
  std::uint64_t sum = 0;
  for (const auto& member : options.relays()) {
    const auto limit = member.requests_per_minute.value_or(options.pace.requests_per_minute);
    if (limit == 0) return 0;
    sum += limit;
  }
  return sum;
}

void read_pool_keys(run_settings& target) {
  for (std::size_t i = 0; i < target.engine.pool.size(); ++i) {
    auto& member = target.engine.pool[i];
    const auto& [variable, file] = target.pool_keys[i];
    try {
      if (!variable.empty()) {
        member.relay.api_key = key_in(read_key_variable(variable));
      } else if (!file.empty()) {
        member.relay.api_key = read_key_file(file);
      }
    } catch (const bad_setting& fault) {
      throw fatal_error(
          fatal_error::kind::cannot_start,
          fmt::format("[[relay]] {}: {} {}", member.name,
                      variable.empty() ? "api_key_file" : "api_key_env:", fault.what()));
    }
  }
}

}  // namespace sluice::cli
