// What is sold and what is served: how an honest relay differs from one that cheats. Pure and
// seeded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "simulator/bill.hpp"

namespace sluice::simulator {

/// How a relay cheats. What is not named is as an honest one has it.
enum class cheat {
  none,
  substituted,  ///< another model answers, under the name of the one sold
  inflated,     ///< more tokens are told and billed than there were
  injected,     ///< a hidden prompt stands before that of the client
  fake_stream,  ///< a stream comes all at once, when its last token would have
  mixed,        ///< some of the calls are substituted
  overbilled,   ///< more is charged than the usage costs
};

struct cheat_plan {
  cheat how = cheat::none;
  double share = 0.1;  ///< of the calls, where they are mixed
};

/// Fields of a request that the relay drops, as honest ones do whose upstream does not have them.
struct lacking {
  bool logprobs = false;
  bool tools = false;
  bool json_schema = false;
};

/// `none`, `substituted`, `inflated`, `injected`, `fake-stream`, `mixed`, `mixed=0.25` or
/// `overbilled`; throws std::invalid_argument.
cheat_plan parse_cheat(std::string_view text);

/// `logprobs`, `tools` and `json-schema`, with commas between; throws std::invalid_argument.
lacking parse_lacking(std::string_view text);

class deal {
 public:
  /// An honest one.
  deal() = default;
  deal(cheat_plan plan, std::uint64_t seed);

  /// The model that answers the call of that number. It is of the other vocabulary where it is not
  /// the one sold. Embeddings are never substituted.
  std::string_view served(std::string_view sold, std::uint64_t number) const;

  /// Tokens of the hidden prompt: 20 to 200, or none.
  std::uint64_t hidden_prompt() const;
  bool streams_at_the_end() const { return plan_.how == cheat::fake_stream; }

  /// The usage that the client is told and billed: 1.1 to 1.5 times what it was where it is
  /// inflated.
  token_usage told(const token_usage& usage) const;
  /// What is charged for what costs so much: 1.2 to 2 times as much where it is overbilled.
  usd charged(usd cost) const;

 private:
  cheat_plan plan_;
  std::uint64_t seed_ = 0;
};

}  // namespace sluice::simulator
