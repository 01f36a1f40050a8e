// Faces composed by DiceBear, one line of JSON each: {style, seed, svg, extra}.
// node dicebear.mjs NODE_MODULES COUNT style=package ...
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [root, count, ...styles] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(join(root, name, "lib", "index.js")));
const { createAvatar } = await load("@dicebear/core");

for (const style of styles) {
  const [name, folder] = style.split("=");
  const design = await load(folder);
  for (let number = 0; number < Number(count); number++) {
    const seed = name + number;
    const { svg, extra } = createAvatar(design, {
      seed,
      accessoriesProbability: 40,
      glassesProbability: 35,
      facialHairProbability: 30,
      beardProbability: 25,
      earringsProbability: 20,
    }).toJson();
    process.stdout.write(JSON.stringify({ style: name, seed, svg, extra }) + "\n");
  }
}
