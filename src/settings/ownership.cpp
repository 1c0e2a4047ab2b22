#include "settings/ownership.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <string_view>

namespace sluice::cli {
namespace {

// Whether the group has the user's name, is the user's primary group, and has no other member.
bool is_private_group(gid_t group) {
  const uid_t user = ::geteuid();
  if (user == 0) return false;  // root's group is a system group, which may have any member
  const passwd* entry = ::getpwuid(user);
  if (entry == nullptr || entry->pw_gid != group) return false;
  const std::string name = entry->pw_name;
  const ::group* members = ::getgrgid(group);
  if (members == nullptr || name != members->gr_name) return false;
  for (char** member = members->gr_mem; *member != nullptr; ++member) {
    if (name != *member) return false;
  }
  return true;
}

bool has_access_list(const std::string& path) {
  return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
}

}  // namespace

bool is_own(const struct stat& file) {
  return file.st_uid == ::geteuid() || file.st_uid == 0;
}

bool others_may_write(const struct stat& file, const std::string& path) {
  if ((file.st_mode & S_IWOTH) != 0) return true;
  if ((file.st_mode & S_IWGRP) == 0) return false;
  return !is_private_group(file.st_gid) || has_access_list(path);
}

bool others_may_replace_in(const std::string& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return true;
  return (info.st_mode & S_ISVTX) == 0 && others_may_write(info, folder);
}

}  // namespace sluice::cli
