/** A long answer: long enough to stop it, to reload in its middle, and to switch the transport. */
export const guide = `# A guide to bicycle care

A bicycle needs little, but it needs it regularly. This guide takes you through a year, from the first ride after winter to the day when you put it away. Nothing in it needs more than a few simple tools and half an hour.

## Before every ride

Three checks take less than a minute, and they find almost everything that is dangerous:

1. **Air.** Press the tyres with your thumb. A soft tyre wears out fast, rolls badly, and lets the rim hit the road.
2. **Brakes.** Pull both levers hard. Neither may touch the handlebar, and the wheel has to stop at once.
3. **Quick releases.** Make sure that both levers are closed and point backwards.

## Every month

Clean the chain with a dry cloth: hold the cloth around the lower run and turn the pedals backwards. Then put one drop of oil on every link, wait ten minutes, and wipe off what is outside. Oil belongs between the rollers; on the outside it only collects dirt.

| part | what to look for | what to do |
|---|---|---|
| chain | it is longer than it was | replace it before it ruins the sprockets |
| brake pads | the grooves are gone | replace both pads of a wheel |
| tyres | cuts, or threads that show | replace the tyre |
| spokes | one sounds duller than the others | have the wheel trued |

## Every season

Take the wheels out and wipe the rims. Turn each wheel in your hands: the axle should run without play and without grinding. Look at the cables where they enter their housings, since that is where they fray first. Tighten the bolts of the stem, the seat post and the rack, and use a torque wrench for parts of carbon.

> Never tighten a bolt to cure a creak before you have found out where the creak comes from. Most of them come from a dry seat post.

## Pressure

The right pressure depends on your weight and on the width of the tyre. As a first guess in bar, for a rider of 75 kg:

\`\`\`
width   28 mm   32 mm   37 mm   47 mm
bar     6.0     5.0     4.2     3.2
\`\`\`

Take a tenth off in front, and another tenth in the rain.

## Before the winter

Wash the bicycle with water and mild soap, never with a pressure washer, which drives the water into the bearings. Dry it, oil the chain generously, and hang it up, so that the tyres carry no weight. Write down what you noticed in the last weeks: in spring you will have forgotten it.
`
