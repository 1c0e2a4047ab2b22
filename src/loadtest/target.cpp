#include "loadtest/target.hpp"

#include <string_view>

#include "money/renamed_model.hpp"

namespace sluice::bench {

attempt target::begin(clock& time, start_gate::permit turn, const request& asked,
                      attempt_observer* watch) const {
  return {time,
          {client, member.relay, hidden, gate},
          turn,
          {.target = asked.target,
           .choices = asked.choices,
           .streamed = asked.streamed,
           .model = asked.model},
          watch};
}

boost::asio::awaitable<attempt_outcome> target::send(attempt& by, const request& asked,
                                                     const std::string& key) {
  const std::string own_body = renamed_body(member, asked);
  const std::string_view body = own_body.empty() ? std::string_view(asked.body) : own_body;
  attempt_outcome told = co_await by.send({to_string(asked.target), body, key, asked.streamed});
  if (by.end().head_arrived) ++answered;
  by.redact(told);
  co_return told;
}

}  // namespace sluice::bench
