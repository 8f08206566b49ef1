#include "simt/fibres.h"

#include <sys/mman.h>

#include <new>

#include "simt/simt.h"
#if THINKREC_SIMT_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

namespace simt::detail {
namespace {

namespace context = boost::context::detail;

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr std::size_t kPage = 4096;

void start_switch([[maybe_unused]] void** fake, [[maybe_unused]] const void* bottom, [[maybe_unused]] std::size_t size) {
#if THINKREC_SIMT_ASAN
  __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}
void finish_switch([[maybe_unused]] void* fake, [[maybe_unused]] const void** bottom, [[maybe_unused]] std::size_t* size) {
#if THINKREC_SIMT_ASAN
  __sanitizer_finish_switch_fiber(fake, bottom, size);
#endif
}

}  // namespace

Fibre* Fibres::at(std::size_t i) {
  while (fibres_.size() <= i) {
    void* memory = mmap(nullptr, kPage + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, kPage, PROT_NONE) != 0) {
      throw std::bad_alloc();
    }
    Fibre made;
    made.bottom = static_cast<char*>(memory) + kPage;
    made.where = context::make_fcontext(static_cast<char*>(made.bottom) + kStackBytes, kStackBytes, &Fibres::entry);
    fibres_.push_back(made);
  }
  return &fibres_[i];
}

void Fibres::entry(context::transfer_t from) {
  Fibres& self = *static_cast<Fibres*>(from.data);
  finish_switch(nullptr, &self.outside_stack_, &self.outside_size_);
  self.outside_ = from.fctx;
  while (true) {
    self.body_();
    self.suspend();
  }
}

void Fibres::resume(Fibre& fibre) {
  running_ = &fibre;
  void* fake_stack = nullptr;
  start_switch(&fake_stack, fibre.bottom, kStackBytes);
  const context::transfer_t back = context::jump_fcontext(fibre.where, this);
  finish_switch(fake_stack, nullptr, nullptr);
  fibre.where = back.fctx;
  running_ = nullptr;
}

void Fibres::suspend() {
  Fibre& mine = *running_;
  start_switch(&mine.fake_stack, outside_stack_, outside_size_);
  const context::transfer_t back = context::jump_fcontext(outside_, nullptr);
  finish_switch(mine.fake_stack, &outside_stack_, &outside_size_);
  outside_ = back.fctx;
}

}  // namespace simt::detail
