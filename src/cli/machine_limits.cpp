#include "cli/machine_limits.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <exception>
#include <random>

#include "async/background.hpp"
#include "async/steady_clock.hpp"
#include "cli/settings/cluster_settings.hpp"
#include "cluster/job_store.hpp"
#include "cluster/window_grants.hpp"

namespace sluice::cli {

std::string worker_name() {
  std::array<char, 256> host{};
  (void)::gethostname(host.data(), host.size() - 1);
  std::random_device random;
  return fmt::format("{}-{}-{:08x}", host.data(), ::getpid(), random());
}

struct machine_limits::parts {
  parts(boost::asio::io_context& context, const std::string& url)
      : loop(context),
        store(open_job_store(url)),
        time(context),
        threads(context, 1),
        grants({.loop = context,
                .time = time,
                .store = *store,
                .threads = threads,
                .worker = worker_name(),
                .say = [](const std::string& sentence) { spdlog::warn("{}", sentence); }}) {}

  boost::asio::io_context& loop;
  std::unique_ptr<cluster::job_store> store;
  steady_clock time;
  background threads;
  cluster::window_grants grants;
};

machine_limits::machine_limits(boost::asio::io_context& loop, const std::string& store)
    : parts_(std::make_unique<parts>(loop, store)) {}
machine_limits::~machine_limits() = default;

void machine_limits::share_with(pace_options& pace) noexcept {
  pace.machines = &parts_->grants;
}
void machine_limits::begin() {
  boost::asio::co_spawn(parts_->loop, parts_->grants.work(), [](const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
  });
}
void machine_limits::stop() {
  parts_->grants.stop();
}

}  // namespace sluice::cli
