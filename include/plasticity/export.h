#ifndef PLASTICITY_EXPORT_H
#define PLASTICITY_EXPORT_H

/* What the shared library shows to the programs that link it; everything else in it is hidden. */
#define PLASTICITY_API __attribute__((visibility("default")))

#endif
