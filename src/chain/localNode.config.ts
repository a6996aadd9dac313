import { defineConfig } from "hardhat/config";
import config from "../../hardhat.config.ts";

/** The rules of the local chain. It gets no artifacts: reading them would take longer than all the rest of its start. */
export default defineConfig({
  paths: { artifacts: ".cache/no-artifacts" },
  ...(config.networks && { networks: config.networks }),
});
