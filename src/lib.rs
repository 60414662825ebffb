//! Vision-language runtime for the GLM-V family.
